//! The fingerprint of a bundle's function, independent of the bundler's names: a hash over its tokens with names
//! resolved.
//!
//! The official command line's bundler renames what is declared, and leaves properties, literals and globals. So a name declared at the
//! top of the module counts as the hash of its declaration, and a global as itself. Any other name counts as the place of its first
//! occurrence. Bundlers give no local name that the module declares at its top, so nothing needs to know scopes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::lexer::{self, Kind, Token};

/// Globals that known functions use.
const GLOBALS: &[&str] = &[
    "Array",
    "ArrayBuffer",
    "BigInt",
    "Boolean",
    "DataView",
    "Date",
    "Error",
    "Int32Array",
    "JSON",
    "Map",
    "Math",
    "Number",
    "Object",
    "Promise",
    "RangeError",
    "RegExp",
    "Set",
    "String",
    "Symbol",
    "TextDecoder",
    "TextEncoder",
    "TypeError",
    "Uint32Array",
    "Uint8Array",
    "arguments",
    "console",
    "crypto",
    "globalThis",
    "isFinite",
    "isNaN",
    "parseInt",
    "process",
    "setTimeout",
    "undefined",
];

const KEYWORDS: &[&str] = &[
    "async",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "import",
    "in",
    "instanceof",
    "let",
    "new",
    "null",
    "of",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "yield",
];

/// Declarations deeper than this are not followed.
const DEPTH_MAX: usize = 16;

/// Modules of a push by path, read when a fingerprint needs them.
pub(super) struct Modules<'f, 's> {
    source: &'f dyn Fn(&str) -> Option<&'s str>,
    read: RefCell<BTreeMap<String, Option<Rc<Module<'s>>>>>,
}

/// A module's tokens, what it declares at its top, and what it has from others and for them.
pub(super) struct Module<'s> {
    path: String,
    source: &'s str,
    pub tokens: Vec<Token>,
    /// The tokens of each declaration: `function f() {…}`, or `x = …` of a variable.
    declarations: HashMap<&'s str, (usize, usize)>,
    /// The exported name and the module of each name that is imported.
    imported: Imported<'s>,
    /// The names of what is exported, by their names for others.
    exported: HashMap<&'s str, &'s str>,
}

/// A name at the top of a module, for which another name stands.
type Place<'s> = (Rc<Module<'s>>, &'s str);

impl<'f, 's> Modules<'f, 's> {
    /// The modules whose texts `source` gives.
    pub fn new(source: &'f dyn Fn(&str) -> Option<&'s str>) -> Modules<'f, 's> {
        Modules {
            source,
            read: RefCell::default(),
        }
    }

    /// The module at `path`, if there is one that is understood.
    pub fn module(&self, path: &str) -> Option<Rc<Module<'s>>> {
        if let Some(known) = self.read.borrow().get(path) {
            return known.clone();
        }
        let source = (self.source)(path);
        let read = source.and_then(|source| {
            let tokens = lexer::tokens(source)?;
            Some(Rc::new(Module::new(path, source, tokens)))
        });
        let mut all = self.read.borrow_mut();
        all.insert(path.to_owned(), read.clone());
        read
    }

    /// The paths of all that were asked for.
    pub fn asked(self) -> Vec<String> {
        self.read.into_inner().into_keys().collect()
    }

    /// The declaration behind a name of `module`, in whichever module it is.
    fn place(&self, module: &Rc<Module<'s>>, name: &'s str) -> Option<Place<'s>> {
        let mut at = (module.clone(), name);
        for _ in 0..DEPTH_MAX {
            let Some((exported, from)) = at.0.imported.get(at.1) else {
                return Some(at);
            };
            let next = self.module(&joined(&at.0.path, from)?)?;
            let local = next.exported.get(exported)?;
            at = (next.clone(), local);
        }
        None
    }

    /// The hash of what `module` declares as `name`, as 16 hexadecimal digits. Nothing if it uses what no module declares, but for
    /// `namer`: the bundler's own function that gives functions their names.
    pub fn fingerprint(
        &self,
        module: &Rc<Module<'s>>,
        name: &'s str,
        namer: &'s str,
    ) -> Option<String> {
        let mut walk = Walk {
            modules: self,
            module: module.clone(),
            namer: self.place(module, namer).unwrap_or((module.clone(), namer)),
            under_way: Vec::new(),
        };
        let hash = walk.hash(name)?;
        Some(hash[..8].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The path that an import of `from` in the module at `path` means; none where it is not relative.
fn joined(path: &str, from: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    if !from.starts_with("./") && !from.starts_with("../") {
        return None;
    }
    for part in from.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Names that a module imports: the names for others, and where from.
type Imported<'s> = HashMap<&'s str, (&'s str, &'s str)>;

/// The construct that a brace opens.
#[derive(Clone, Copy, PartialEq)]
enum Brace {
    Block,
    Object,
    Class,
    /// A parenthesis or a bracket.
    Other,
}

impl<'s> Module<'s> {
    fn new(path: &str, source: &'s str, tokens: Vec<Token>) -> Module<'s> {
        let mut module = Module {
            path: path.to_owned(),
            source,
            tokens,
            declarations: HashMap::new(),
            imported: HashMap::new(),
            exported: HashMap::new(),
        };
        module.declarations = module.declared();
        (module.imported, module.exported) = module.borders();
        module
    }

    pub fn text(&self, at: usize) -> &'s str {
        self.tokens
            .get(at)
            .map_or("", |token| &self.source[token.start..token.end])
    }

    /// The tokens of what is declared as `name`.
    pub fn declaration(&self, name: &str) -> Option<(usize, usize)> {
        self.declarations.get(name).copied()
    }

    fn declared(&self) -> HashMap<&'s str, (usize, usize)> {
        let mut found = HashMap::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let end = match self.text(at) {
                "export" | "default" => at + 1,
                "var" | "let" | "const" => self.variables(at, &mut found),
                "function" | "async" | "class" => {
                    let end = self.end_of_block(at);
                    let is_word =
                        |at: usize| self.tokens.get(at).is_some_and(|t| t.kind == Kind::Word);
                    let name =
                        (at + 1..end).find(|at| is_word(*at) && self.text(*at) != "function");
                    if let Some(name) = name {
                        found.insert(self.text(name), (at, end));
                    }
                    end
                }
                _ => self.end_of_statement(at),
            };
            at = end.max(at + 1);
        }
        found
    }

    /// The names that import and export statements at the top bind: `import { a as b } from "…"` and `export { b as a }`.
    fn borders(&self) -> (Imported<'s>, HashMap<&'s str, &'s str>) {
        let (mut imported, mut exported) = (HashMap::new(), HashMap::new());
        let mut at = 0;
        while at < self.tokens.len() {
            let end = self.end_of_statement(at).max(at + 1);
            let is_import = self.text(at) == "import";
            if is_import || (self.text(at) == "export" && self.text(at + 1) == "{") {
                let from = self.text(end.saturating_sub(2));
                let from = from.trim_matches(['"', '\'']);
                let is_bound = |at: &usize| {
                    self.tokens[*at].kind == Kind::Word
                        && matches!(self.text(at + 1), "," | "}" | "from")
                };
                for bound in (at + 1..end).filter(is_bound) {
                    let (name, before) = (self.text(bound), self.text(bound - 1));
                    let other = match before {
                        "as" => self.text(bound - 2),
                        "{" | "," => name,
                        _ => "default",
                    };
                    match is_import {
                        true => imported.insert(name, (other, from)).is_some(),
                        false => exported.insert(name, other).is_some(),
                    };
                }
            }
            at = end;
        }
        (imported, exported)
    }

    /// Notes the declarations of a statement of variables, and says where it ends.
    fn variables(&self, at: usize, found: &mut HashMap<&'s str, (usize, usize)>) -> usize {
        let end = self.end_of_statement(at);
        let (mut start, mut depth) = (at + 1, 0_usize);
        for next in at + 1..end {
            match self.text(next) {
                "," | ";" if depth == 0 => {
                    if self.text(start + 1) == "=" {
                        found.insert(self.text(start), (start, next));
                    }
                    start = next + 1;
                }
                _ => depth = self.deeper(next, depth),
            }
        }
        end
    }

    /// How deep the brackets are after this token.
    fn deeper(&self, at: usize, depth: usize) -> usize {
        let text = self.text(at);
        let is_template = self.tokens[at].kind == Kind::Literal;
        match text {
            "(" | "[" | "{" => depth + 1,
            ")" | "]" | "}" => depth.saturating_sub(1),
            _ if is_template && text.starts_with('}') && !text.ends_with("${") => {
                depth.saturating_sub(1)
            }
            _ if is_template && text.starts_with('`') && text.ends_with("${") => depth + 1,
            _ => depth,
        }
    }

    /// Past the semicolon that ends the statement, or past the block that does.
    fn end_of_statement(&self, at: usize) -> usize {
        let mut depth = 0;
        for next in at..self.tokens.len() {
            let before = depth;
            depth = self.deeper(next, depth);
            let is_block = before == 1 && depth == 0 && self.text(next) == "}";
            let is_over = self.text(next) == ";"
                || is_block && !self.goes_on(self.text(at), self.text(next + 1));
            if depth == 0 && is_over {
                return next + 1;
            }
        }
        self.tokens.len()
    }

    /// Whether a statement that began so goes on after a block.
    fn goes_on(&self, first: &str, next: &str) -> bool {
        let is_flow = matches!(
            first,
            "if" | "for" | "while" | "try" | "do" | "{" | "switch"
        );
        !is_flow || matches!(next, "else" | "catch" | "finally" | "while")
    }

    /// Past the block of a function or class that begins here. Its parameters may have braces.
    fn end_of_block(&self, at: usize) -> usize {
        let mut depth = 0;
        for next in at..self.tokens.len() {
            let before = depth;
            depth = self.deeper(next, depth);
            if before == 1 && depth == 0 && self.text(next) == "}" {
                return next + 1;
            }
        }
        self.tokens.len()
    }

    /// The construct that each brace between these tokens opens, for each token the innermost.
    fn braces(&self, start: usize, end: usize) -> Vec<Brace> {
        let (mut open, mut inside) = (Vec::new(), Vec::with_capacity(end - start));
        let mut is_class_due = false;
        for at in start..end {
            let text = self.text(at);
            let is_closing = matches!(text, ")" | "]" | "}");
            if is_closing {
                open.pop();
            }
            inside.push(open.last().copied().unwrap_or(Brace::Other));
            match text {
                "class" if !matches!(self.before(at, start), "." | "?.") => is_class_due = true,
                "(" | "[" => open.push(Brace::Other),
                "{" if std::mem::take(&mut is_class_due) => open.push(Brace::Class),
                "{" => open.push(self.block_or_object(at, start)),
                _ => {}
            }
        }
        inside
    }

    fn before(&self, at: usize, start: usize) -> &'s str {
        if at > start { self.text(at - 1) } else { "" }
    }

    fn block_or_object(&self, at: usize, start: usize) -> Brace {
        let opens_object = matches!(
            self.before(at, start),
            "(" | ","
                | "="
                | ":"
                | "["
                | "?"
                | "&"
                | "|"
                | "..."
                | "!"
                | "return"
                | "let"
                | "const"
                | "var"
                | "throw"
                | "yield"
                | "await"
                | "of"
                | "in"
                | "typeof"
        );
        if opens_object {
            Brace::Object
        } else {
            Brace::Block
        }
    }
}

fn is_same(one: &Place<'_>, other: &Place<'_>) -> bool {
    Rc::ptr_eq(&one.0, &other.0) && one.1 == other.1
}

/// How a word counts.
enum Word {
    /// As it stands.
    Itself,
    /// As a name.
    Name,
    /// As a property and as a name, as in `{ a }`.
    Both,
}

struct Walk<'m, 'f, 's> {
    modules: &'m Modules<'f, 's>,
    /// The module of the declaration that is being hashed.
    module: Rc<Module<'s>>,
    namer: Place<'s>,
    /// The declarations that are being hashed, the innermost last.
    under_way: Vec<Place<'s>>,
}

impl<'s> Walk<'_, '_, 's> {
    fn hash(&mut self, name: &'s str) -> Option<[u8; 32]> {
        let (start, end) = self.module.declaration(name)?;
        if self.under_way.len() == DEPTH_MAX {
            return None;
        }
        self.under_way.push((self.module.clone(), name));
        let inside = self.module.braces(start, end);
        let mut hasher = Sha256::new();
        let mut locals: HashMap<&str, usize> = HashMap::new();
        for at in start..end {
            let text = self.module.text(at);
            let word = self.word(at, start, inside[at - start]);
            if !matches!(word, Word::Name) {
                hasher.update(text);
                hasher.update([0]);
            }
            if matches!(word, Word::Both) {
                hasher.update(":\0");
            }
            if !matches!(word, Word::Itself) {
                let resolved = self.name(text, &mut locals)?;
                hasher.update(resolved);
                hasher.update([0]);
            }
        }
        self.under_way.pop();
        Some(hasher.finalize().into())
    }

    /// The meaning of a name.
    fn name(&mut self, text: &'s str, locals: &mut HashMap<&'s str, usize>) -> Option<String> {
        let place = self.modules.place(&self.module, text);
        // The bundler's own function may be in a module that is not there.
        let place = place.unwrap_or_else(|| (self.module.clone(), text));
        if is_same(&place, &self.namer) {
            return Some("@name".to_owned());
        }
        if place.0.imported.contains_key(place.1) {
            return None;
        }
        if let Some(depth) = self.under_way.iter().position(|at| is_same(at, &place)) {
            return Some(format!("^{depth}"));
        }
        let (module, name) = place;
        if module.declaration(name).is_some() {
            let user = std::mem::replace(&mut self.module, module);
            let hash = self.hash(name);
            self.module = user;
            return Some(format!("@{:?}", hash?));
        }
        if GLOBALS.contains(&text) {
            return Some(text.to_owned());
        }
        let next = locals.len();
        Some(format!("${}", locals.entry(text).or_insert(next)))
    }

    fn word(&self, at: usize, start: usize, inside: Brace) -> Word {
        let module = &self.module;
        let text = module.text(at);
        let (before, after) = (module.before(at, start), module.text(at + 1));
        if module.tokens[at].kind != Kind::Word
            || matches!(before, "." | "?.")
            || text.starts_with('#')
        {
            return Word::Itself;
        }
        let begins_property = matches!(before, "{" | ",");
        match inside {
            Brace::Object if begins_property && matches!(after, ":" | "(") => return Word::Itself,
            Brace::Object if begins_property && matches!(after, "," | "}" | "=") => {
                return Word::Both;
            }
            Brace::Class
                if matches!(
                    before,
                    "{" | "}" | ";" | "static" | "get" | "set" | "async" | "*"
                ) =>
            {
                return Word::Itself;
            }
            _ => {}
        }
        if KEYWORDS.contains(&text) {
            Word::Itself
        } else {
            Word::Name
        }
    }
}
