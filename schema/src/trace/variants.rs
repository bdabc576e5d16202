//! The variants of an enum: one is offered a run, until all are known.

use super::node::{Node, Verdict};
use crate::path::check_identifier;
use crate::validator::{Field, Validator};
use crate::value::Value;

/// The variants of an enum, and last of all a name that no enum lists, which only a catch-all accepts.
#[derive(Debug)]
pub(super) struct Variants {
    type_name: &'static str,
    variants: Vec<VariantShape>,
}

const UNLISTED_VARIANT: &str = "$unlisted";

#[derive(Debug)]
pub(super) struct VariantShape {
    pub(super) name: &'static str,
    content: Content,
    confirming: bool,
    settled: bool,
    readable: bool,
}

#[derive(Debug, Default)]
enum Content {
    /// The variant was never reached: its name was refused.
    #[default]
    Unreached,
    Nothing,
    Node(Box<Node>),
}

impl VariantShape {
    /// Notes that the variant holds nothing.
    pub(super) fn holds_nothing(&mut self) {
        self.content = Content::Nothing;
    }

    /// The content of the variant.
    pub(super) fn content(&mut self) -> &mut Node {
        if !matches!(self.content, Content::Node(_)) {
            self.content = Content::Node(Box::default());
        }
        match &mut self.content {
            Content::Node(node) => node,
            Content::Unreached | Content::Nothing => unreachable!("the content was just set"),
        }
    }

    fn judge(&mut self, accepted: bool) {
        match &self.content {
            Content::Node(node) if !self.confirming => {
                if node.is_readable() {
                    self.confirming = true;
                } else if !node.is_learning() {
                    self.settled = true;
                }
            }
            Content::Unreached | Content::Nothing | Content::Node(_) => {
                (self.settled, self.readable) = (true, accepted);
            }
        }
    }

    fn unlearned(&self) -> Option<String> {
        match &self.content {
            Content::Node(_) if self.name == UNLISTED_VARIANT => Some(String::new()),
            Content::Node(node) => {
                let rest = match check_identifier(self.name) {
                    Ok(()) => node.unlearned()?,
                    Err(_) => String::new(),
                };
                Some(format!(".{}{rest}", self.name))
            }
            Content::Unreached | Content::Nothing => None,
        }
    }

    fn validator(&self) -> Option<Validator> {
        let unlisted = self.name == UNLISTED_VARIANT;
        match &self.content {
            Content::Unreached if unlisted => None,
            Content::Nothing if unlisted => Some(Validator::String),
            Content::Node(_) if unlisted => Some(Validator::Any),
            Content::Unreached | Content::Nothing => {
                Some(Validator::Literal(Value::String(self.name.to_owned())))
            }
            Content::Node(node) => Some(match check_identifier(self.name) {
                Ok(()) => Validator::object([(self.name, Field::required(node.validator()))]),
                Err(_) => Validator::Any,
            }),
        }
    }
}

impl Variants {
    pub(super) fn new(type_name: &'static str, names: &'static [&'static str]) -> Self {
        let names = names.iter().copied().chain([UNLISTED_VARIANT]);
        let variant = |name| VariantShape {
            name,
            content: Content::Unreached,
            confirming: false,
            settled: false,
            readable: false,
        };
        Variants {
            type_name,
            variants: names.map(variant).collect(),
        }
    }

    pub(super) fn unlearned(&self) -> Option<String> {
        self.variants.iter().find_map(VariantShape::unlearned)
    }

    /// Whether this is the enum `type_name`.
    pub(super) fn is_of(&self, type_name: &str) -> bool {
        self.type_name == type_name
    }

    /// The variant of this run.
    pub(super) fn offer(&mut self) -> &mut VariantShape {
        let at = self.current();
        let variant = &mut self.variants[at];
        if let Content::Node(node) = &mut variant.content {
            node.offer();
        }
        variant
    }

    /// The first variant of which something is unknown, else the first that can be read, else the first.
    fn current(&self) -> usize {
        let unsettled = self.variants.iter().position(|variant| !variant.settled);
        let readable = || self.variants.iter().position(|variant| variant.readable);
        unsettled.or_else(readable).unwrap_or(0)
    }

    pub(super) fn judge(&mut self, accepted: bool) -> Verdict {
        let at = self.current();
        self.variants[at].judge(accepted);
        match self.variants.iter().all(|variant| variant.settled) {
            true => Verdict::Settled {
                readable: self.variants.iter().any(|variant| variant.readable),
            },
            false => Verdict::Continue,
        }
    }

    pub(super) fn validator(&self) -> Validator {
        let members: Vec<_> = self
            .variants
            .iter()
            .filter_map(VariantShape::validator)
            .collect();
        match members.contains(&Validator::String) {
            // Any string will do, so the listed ones say no more.
            true => Validator::one_of(
                members
                    .into_iter()
                    .filter(|m| !matches!(m, Validator::Literal(_))),
            ),
            false => Validator::one_of(members),
        }
    }
}
