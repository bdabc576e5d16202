//! JavaScript as tokens: as much of its grammar as finding functions in a bundle takes.
//!
//! Whether a slash begins a regular expression is guessed from what stands before it. A wrong guess makes a function unknown, never
//! another one known: what is found is compared token by token (`fingerprint.rs`).

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A name or a keyword.
    Word,
    /// A number, a string, a regular expression, or a piece of a template.
    Literal,
    /// A character of punctuation, or one of `=>`, `...` and `?.`.
    Mark,
}

/// A token, with its place in the source in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// Words after which a slash begins a regular expression.
const BEFORE_REGEX: &[&str] = &[
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "delete",
    "void",
    "throw",
    "new",
    "else",
    "do",
    "instanceof",
    "await",
    "yield",
];

/// The tokens of `source`, or nothing if it is not understood.
pub(super) fn tokens(source: &str) -> Option<Vec<Token>> {
    let mut lexer = Lexer {
        bytes: source.as_bytes(),
        source,
        at: 0,
        braces: Vec::new(),
        tokens: Vec::with_capacity(source.len() / 4),
    };
    while lexer.next()? {}
    Some(lexer.tokens)
}

struct Lexer<'s> {
    bytes: &'s [u8],
    source: &'s str,
    at: usize,
    /// For each open brace, whether it stands in a template.
    braces: Vec<bool>,
    tokens: Vec<Token>,
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#' | b'\\') || byte >= 0x80
}

impl Lexer<'_> {
    /// Reads one token. False at the end.
    fn next(&mut self) -> Option<bool> {
        self.skip_blank()?;
        let Some(first) = self.bytes.get(self.at).copied() else {
            return Some(false);
        };
        let start = self.at;
        let kind = match first {
            b'"' | b'\'' => self.string(first)?,
            b'`' => self.template()?,
            b'}' if self.braces.last() == Some(&true) => {
                self.braces.pop();
                self.template()?
            }
            b'/' if self.may_be_regex() => self.regex()?,
            b'0'..=b'9' => self.number(),
            _ if is_word_byte(first) => self.word(),
            _ => self.mark(first)?,
        };
        let end = self.at;
        self.tokens.push(Token { kind, start, end });
        Some(true)
    }

    fn skip_blank(&mut self) -> Option<()> {
        loop {
            let rest = &self.bytes[self.at..];
            if rest.first().is_some_and(u8::is_ascii_whitespace) {
                self.at += 1;
            } else if rest.starts_with(b"//") {
                self.at += rest
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(rest.len());
            } else if rest.starts_with(b"/*") {
                self.at += 2 + self.source.get(self.at + 2..)?.find("*/")? + 2;
            } else {
                return Some(());
            }
        }
    }

    fn string(&mut self, quote: u8) -> Option<Kind> {
        self.at += 1;
        loop {
            match *self.bytes.get(self.at)? {
                b'\\' => self.at += 2,
                b'\n' => return None,
                byte => {
                    self.at += 1;
                    if byte == quote {
                        return Some(Kind::Literal);
                    }
                }
            }
        }
    }

    /// A piece of a template: up to its end or to the next `${`.
    fn template(&mut self) -> Option<Kind> {
        self.at += 1;
        loop {
            match *self.bytes.get(self.at)? {
                b'\\' => self.at += 2,
                b'`' => {
                    self.at += 1;
                    return Some(Kind::Literal);
                }
                b'$' if self.bytes.get(self.at + 1) == Some(&b'{') => {
                    self.at += 2;
                    self.braces.push(true);
                    return Some(Kind::Literal);
                }
                _ => self.at += 1,
            }
        }
    }

    fn may_be_regex(&self) -> bool {
        let Some(last) = self.tokens.last() else {
            return true;
        };
        let text = &self.source[last.start..last.end];
        match last.kind {
            Kind::Word => BEFORE_REGEX.contains(&text),
            Kind::Literal => text.ends_with("${"),
            Kind::Mark => !matches!(text, ")" | "]" | "}"),
        }
    }

    fn regex(&mut self) -> Option<Kind> {
        let mut is_in_class = false;
        self.at += 1;
        loop {
            match *self.bytes.get(self.at)? {
                b'\\' => self.at += 1,
                b'\n' => return None,
                b'[' => is_in_class = true,
                b']' => is_in_class = false,
                b'/' if !is_in_class => break,
                _ => {}
            }
            self.at += 1;
        }
        self.at += 1;
        self.word();
        Some(Kind::Literal)
    }

    fn number(&mut self) -> Kind {
        while let Some(byte) = self.bytes.get(self.at) {
            let is_sign = matches!(byte, b'+' | b'-')
                && matches!(self.bytes[self.at - 1], b'e' | b'E')
                && self.bytes.get(self.at - 2).is_some_and(u8::is_ascii_digit);
            if !is_word_byte(*byte) && *byte != b'.' && !is_sign {
                break;
            }
            self.at += 1;
        }
        Kind::Literal
    }

    fn word(&mut self) -> Kind {
        while self.bytes.get(self.at).copied().is_some_and(is_word_byte) {
            self.at += 1;
        }
        Kind::Word
    }

    fn mark(&mut self, first: u8) -> Option<Kind> {
        let rest = &self.bytes[self.at..];
        match first {
            b'{' => self.braces.push(false),
            b'}' => drop(self.braces.pop()?),
            _ => {}
        }
        self.at += match first {
            b'=' if rest.starts_with(b"=>") => 2,
            b'?' if rest.starts_with(b"?.") && !rest.get(2).is_some_and(u8::is_ascii_digit) => 2,
            b'.' if rest.starts_with(b"...") => 3,
            _ => 1,
        };
        Some(Kind::Mark)
    }
}
