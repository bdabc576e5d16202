//! The fingerprint of a bundle's function, independent of the bundler's names: a hash over its tokens with names
//! resolved.
//!
//! The official command line's bundler renames what is declared, and leaves properties, literals and globals. So a name declared at the
//! top of the module counts as the hash of its declaration, a global as itself, and any other name as the place of its first occurrence.
//! Bundlers give no local name that the module declares at its top, so nothing needs to know scopes.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::lexer::{Kind, Token};

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

/// A module's tokens and what it declares at its top.
pub(super) struct Module<'s> {
    pub source: &'s str,
    pub tokens: Vec<Token>,
    /// The tokens of each declaration: `function f() {…}`, or `x = …` of a variable.
    declarations: HashMap<&'s str, (usize, usize)>,
    imported: HashSet<&'s str>,
}

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
    pub fn new(source: &'s str, tokens: Vec<Token>) -> Module<'s> {
        let mut module = Module {
            source,
            tokens,
            declarations: HashMap::new(),
            imported: HashSet::new(),
        };
        module.declarations = module.declared();
        module.imported = module.imports();
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

    /// The names that the import statements at the top bind: in `import { a as b, c }` these are `b` and `c`.
    fn imports(&self) -> HashSet<&'s str> {
        let mut found = HashSet::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let end = self.end_of_statement(at).max(at + 1);
            if self.text(at) == "import" {
                let binds = |at: &usize| {
                    self.tokens[*at].kind == Kind::Word
                        && matches!(self.text(at + 1), "," | "}" | "from")
                };
                found.extend((at + 1..end).filter(binds).map(|at| self.text(at)));
            }
            at = end;
        }
        found
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

    /// The hash of what is declared as `name`, as 16 hexadecimal digits. Nothing if it uses what this module imports, but for
    /// `namer`: the bundler's own function that gives functions their names, which it may put into another module.
    pub fn fingerprint(&self, name: &'s str, namer: &'s str) -> Option<String> {
        let mut walk = Walk {
            module: self,
            namer,
            under_way: Vec::new(),
        };
        let hash = walk.hash(name)?;
        Some(hash[..8].iter().map(|byte| format!("{byte:02x}")).collect())
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

/// How a word counts.
enum Word {
    /// As it stands.
    Itself,
    /// As a name.
    Name,
    /// As a property and as a name, as in `{ a }`.
    Both,
}

struct Walk<'m, 's> {
    module: &'m Module<'s>,
    namer: &'s str,
    /// The declarations that are being hashed, the innermost last.
    under_way: Vec<&'s str>,
}

impl<'s> Walk<'_, 's> {
    fn hash(&mut self, name: &'s str) -> Option<[u8; 32]> {
        let (start, end) = self.module.declaration(name)?;
        if self.under_way.len() == DEPTH_MAX {
            return None;
        }
        self.under_way.push(name);
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
        if text == self.namer {
            return Some("@name".to_owned());
        }
        if self.module.imported.contains(text) {
            return None;
        }
        if let Some(depth) = self.under_way.iter().position(|name| *name == text) {
            return Some(format!("^{depth}"));
        }
        if self.module.declaration(text).is_some() {
            let hash = self.hash(text)?;
            return Some(format!("@{hash:?}"));
        }
        if GLOBALS.contains(&text) {
            return Some(text.to_owned());
        }
        let next = locals.len();
        Some(format!("${}", locals.entry(text).or_insert(next)))
    }

    fn word(&self, at: usize, start: usize, inside: Brace) -> Word {
        let module = self.module;
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
