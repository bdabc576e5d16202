//! The shapes that have parts: what to offer in the next run, and what its outcome teaches.

use super::node::{Node, Shape, TraceError, Verdict};
use crate::path::check_identifier;
use crate::validator::{Field, Validator};
use crate::value::Value;

/// The content given to an option, a list or a map: an element to learn from, then none, which they usually accept.
/// Where an empty one is refused, an element again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Filling {
    #[default]
    Learn,
    Empty,
    Full,
}

impl Filling {
    fn judge(&mut self, accepted: bool, learning: bool, readable: bool) -> Verdict {
        match self {
            Filling::Learn if learning => Verdict::Continue,
            Filling::Learn => {
                *self = Filling::Empty;
                Verdict::Continue
            }
            Filling::Empty if !accepted && readable => {
                *self = Filling::Full;
                Verdict::Continue
            }
            Filling::Empty | Filling::Full => Verdict::Settled { readable: accepted },
        }
    }
}

/// The inside of an option or a list.
#[derive(Debug, Default)]
pub(super) struct Held {
    inner: Box<Node>,
    filling: Filling,
}

impl Held {
    pub(super) fn inner(&self) -> &Node {
        &self.inner
    }

    /// The inside, to be filled in this run; `None` to leave it empty.
    pub(super) fn offer(&mut self) -> Option<&mut Node> {
        self.inner.offer();
        match self.filling {
            Filling::Learn | Filling::Full => Some(&mut self.inner),
            Filling::Empty => None,
        }
    }

    pub(super) fn judge(&mut self, accepted: bool) -> Verdict {
        let (learning, readable) = (self.inner.is_learning(), self.inner.is_readable());
        self.filling.judge(accepted, learning, readable)
    }
}

/// How far the parts of a shape that are read one after another have come.
#[derive(Debug, Default)]
struct Progress {
    settled: usize,
}

impl Progress {
    /// Whether the last run taught something and the next may teach more. A part may settle in the very run that fails
    /// on it; then those behind it are still to be reached.
    fn made<'a>(&mut self, parts: impl IntoIterator<Item = &'a Node>, accepted: bool) -> bool {
        let (mut learning, mut settled) = (false, 0);
        for part in parts {
            learning |= part.is_learning();
            settled += usize::from(part.is_settled());
        }
        let further = settled > self.settled;
        self.settled = settled;
        learning || (further && !accepted)
    }
}

/// A map with keys of any name.
#[derive(Debug, Default)]
pub(super) struct MapShape {
    key: Box<Node>,
    value: Box<Node>,
    filling: Filling,
    progress: Progress,
}

impl MapShape {
    /// The entry of this run, if any.
    pub(super) fn offer(&mut self) -> Option<(&mut Node, &mut Node)> {
        self.key.offer();
        self.value.offer();
        match self.filling {
            Filling::Learn | Filling::Full => Some((&mut self.key, &mut self.value)),
            Filling::Empty => None,
        }
    }

    pub(super) fn judge(&mut self, accepted: bool) -> Verdict {
        let learning = self.progress.made([&*self.key, &*self.value], accepted);
        let readable = self.key.is_readable() && self.value.is_readable();
        self.filling.judge(accepted, learning, readable)
    }

    pub(super) fn unlearned(&self) -> Option<String> {
        match self.validator() {
            Validator::Any => Some(String::new()),
            _ => self.value.unlearned().map(|rest| format!("{{}}{rest}")),
        }
    }

    /// A type that asks for names it knows, such as a struct that flattens another, cannot be told from here.
    pub(super) fn validator(&self) -> Validator {
        let is_text = |key: &Validator| matches!(key, Validator::Literal(Value::String(_)));
        match self.key.validator() {
            key @ (Validator::String | Validator::Id { .. }) => {
                Validator::record(key, self.value.validator())
            }
            Validator::Union(names) if names.iter().all(is_text) => {
                Validator::record(Validator::String, self.value.validator())
            }
            name if is_text(&name) => Validator::record(Validator::String, self.value.validator()),
            _ => Validator::Any,
        }
    }
}

/// A list of known length, each element of its own type.
#[derive(Debug)]
pub(super) struct Tuple {
    elements: Vec<Node>,
    progress: Progress,
}

impl Tuple {
    pub(super) fn new(length: usize) -> Self {
        Tuple {
            elements: std::iter::repeat_with(Node::default).take(length).collect(),
            progress: Progress::default(),
        }
    }

    pub(super) fn offer(&mut self) -> &mut [Node] {
        self.elements.iter_mut().for_each(Node::offer);
        &mut self.elements
    }

    pub(super) fn judge(&mut self, accepted: bool) -> Verdict {
        match self.progress.made(&self.elements, accepted) {
            true => Verdict::Continue,
            false => Verdict::Settled { readable: accepted },
        }
    }

    pub(super) fn unlearned(&self) -> Option<String> {
        let mut elements = self.elements.iter().enumerate();
        elements.find_map(|(at, element)| Some(format!("[{at}]{}", element.unlearned()?)))
    }

    pub(super) fn validator(&self) -> Validator {
        Validator::array(Validator::one_of(self.elements.iter().map(Node::validator)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldStage {
    /// One field at a time, first in its run, so that the others cannot stand in the way.
    Learn,
    /// Only fields known to be needed: the type names the next one it misses.
    Needs,
    /// All fields: two names of one field are told by the type's complaint.
    Aliases,
}

/// The fields of a struct.
#[derive(Debug)]
pub(super) struct Fields {
    type_name: &'static str,
    fields: Vec<FieldShape>,
    stage: FieldStage,
    /// The field that is learned about now.
    focus: usize,
}

#[derive(Debug)]
pub(super) struct FieldShape {
    pub(super) name: &'static str,
    pub(super) node: Node,
    needed: bool,
    /// Another name does as well.
    aliased: bool,
}

impl Fields {
    pub(super) fn new(type_name: &'static str, names: &'static [&'static str]) -> Self {
        let field = |name: &&'static str| FieldShape {
            name,
            node: Node::default(),
            needed: false,
            aliased: false,
        };
        Fields {
            type_name,
            fields: names.iter().map(field).collect(),
            stage: match names.is_empty() {
                true => FieldStage::Needs,
                false => FieldStage::Learn,
            },
            focus: 0,
        }
    }

    pub(super) fn offer(&mut self) -> Vec<&mut FieldShape> {
        let (stage, focus) = (self.stage, self.focus);
        let offered = self
            .fields
            .iter_mut()
            .enumerate()
            .filter(|(at, field)| match stage {
                FieldStage::Learn => *at == focus,
                FieldStage::Needs => field.needed,
                FieldStage::Aliases => field.node.is_readable() && !field.aliased,
            });
        let mut offered: Vec<_> = offered.map(|(_, field)| field).collect();
        offered.iter_mut().for_each(|field| field.node.offer());
        offered
    }

    pub(super) fn judge(&mut self, error: Option<&TraceError>) -> Verdict {
        match self.stage {
            FieldStage::Learn => self.judge_learned(),
            FieldStage::Needs => self.judge_needs(error),
            FieldStage::Aliases => self.judge_aliases(error),
        }
    }

    fn judge_learned(&mut self) -> Verdict {
        let node = &mut self.fields[self.focus].node;
        if !node.was_asked() {
            node.settle_unreadable();
        }
        if node.is_settled() {
            self.focus += 1;
        }
        if self.focus == self.fields.len() {
            self.stage = FieldStage::Needs;
        }
        Verdict::Continue
    }

    fn judge_needs(&mut self, error: Option<&TraceError>) -> Verdict {
        match error {
            None => {
                self.stage = FieldStage::Aliases;
                Verdict::Continue
            }
            Some(TraceError::MissingField(name)) => match self.named(name) {
                Some(field) if !field.needed => {
                    field.needed = true;
                    match field.node.is_readable() {
                        true => Verdict::Continue,
                        false => Verdict::Settled { readable: false },
                    }
                }
                _ => Verdict::Settled { readable: false },
            },
            Some(TraceError::DuplicateField(_) | TraceError::Other) => {
                Verdict::Settled { readable: false }
            }
        }
    }

    fn judge_aliases(&mut self, error: Option<&TraceError>) -> Verdict {
        if let Some(TraceError::DuplicateField(name)) = error
            && let Some(field) = self.named(name)
            && !field.aliased
        {
            field.aliased = true;
            return Verdict::Continue;
        }
        // From here on, runs are given what is needed, which is known to do.
        self.stage = FieldStage::Needs;
        Verdict::Settled { readable: true }
    }

    fn named(&mut self, name: &str) -> Option<&mut FieldShape> {
        self.fields.iter_mut().find(|field| field.name == name)
    }

    /// An adjacently tagged enum is read as a struct of its tag and its content, and the tag as an enum of the same
    /// name. The made-up tag told whether its own variant needs content; others may differ.
    fn is_adjacently_tagged(&self) -> bool {
        self.fields.iter().any(|field| match &field.node.shape {
            Shape::Enum(tag) => tag.is_of(self.type_name),
            _ => false,
        })
    }

    pub(super) fn unlearned(&self) -> Option<String> {
        self.fields.iter().find_map(|field| {
            let rest = match check_identifier(field.name) {
                Ok(()) => field.node.unlearned()?,
                Err(_) => String::new(),
            };
            Some(format!(".{}{rest}", field.name))
        })
    }

    pub(super) fn validator(&self) -> Validator {
        let is_identifier = |field: &FieldShape| check_identifier(field.name).is_ok();
        if !self.fields.iter().all(is_identifier) {
            return Validator::Any;
        }
        let tagged = self.is_adjacently_tagged();
        Validator::object(self.fields.iter().map(|shape| {
            let is_tag = matches!(shape.node.shape, Shape::Enum(_));
            let field = Field {
                validator: shape.node.validator(),
                optional: !shape.needed || shape.aliased || (tagged && !is_tag),
            };
            (shape.name, field)
        }))
    }
}
