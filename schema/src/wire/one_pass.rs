//! Messages in the spelling of the official clients, read in one pass: `type` first, no spaces, each key once, no escapes
//! but in arguments. Every other text is left to serde, with its words for what is wrong.

use std::cell::RefCell;
use std::sync::Arc;

use super::{
    AddQuery, Args, CallMessage, ClientMessage, Journal, ModifyQuerySet, PathText, QueryId,
    QuerySetModification, RequestId,
};
use crate::value::{OBJECT_FIELDS_MAX, Object, Value, check_field_name};

/// The message, as serde would read it; `None` where this reader cannot say.
pub(super) fn parse(text: &str) -> Option<ClientMessage> {
    let mut reader = Reader { rest: text };
    let message = match reader.tag()? {
        "Mutation" => ClientMessage::Mutation(reader.call()?),
        "Action" => ClientMessage::Action(reader.call()?),
        "ModifyQuerySet" => ClientMessage::ModifyQuerySet(reader.modify_query_set()?),
        _ => return None,
    };
    (reader.rest == "}").then_some(message)
}

struct Reader<'t> {
    rest: &'t str,
}

/// Paths that a thread remembers: clients call a few functions again and again.
const KNOWN_PATHS_MAX: usize = 16;
/// Longer paths are not remembered.
const KNOWN_PATH_BYTES_MAX: usize = 256;

thread_local! {
    /// Valid paths as clients wrote them, and what they mean; the one that was asked for last is last.
    static KNOWN_PATHS: RefCell<Vec<(Box<str>, PathText)>> = const { RefCell::new(Vec::new()) };
}

/// The path that a text means.
fn path_of(text: &str) -> PathText {
    KNOWN_PATHS.with_borrow_mut(|known| {
        if let Some(at) = known.iter().rposition(|(known, _)| **known == *text) {
            let last = known.len() - 1;
            known.swap(at, last);
            return known[last].1.clone();
        }
        let path = PathText::new(text);
        if matches!(path, PathText::Valid(_)) && text.len() <= KNOWN_PATH_BYTES_MAX {
            if known.len() == KNOWN_PATHS_MAX {
                known.remove(0);
            }
            known.push((text.into(), path.clone()));
        }
        path
    })
}

impl<'t> Reader<'t> {
    fn eat(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    /// The `type` that an object begins with.
    fn tag(&mut self) -> Option<&'t str> {
        self.eat(r#"{"type":"#)?;
        self.string()
    }

    /// The next key of an object, if there is one.
    fn key(&mut self) -> Option<&'t str> {
        self.eat(",")?;
        let key = self.string()?;
        self.eat(":")?;
        Some(key)
    }

    /// A string that stands for itself.
    fn string(&mut self) -> Option<&'t str> {
        self.eat("\"")?;
        let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
        let end = self.rest.bytes().position(is_special)?;
        let string = &self.rest[..end];
        self.rest = &self.rest[end..];
        self.eat("\"")?;
        Some(string)
    }

    fn number(&mut self) -> Option<u32> {
        let is_other = |byte: u8| !byte.is_ascii_digit();
        let end = self.rest.bytes().position(is_other)?;
        let digits = &self.rest[..end];
        // The text behind it shows whether the number ends here.
        self.rest = &self.rest[end..];
        match digits.len() > 1 && digits.starts_with('0') {
            true => None,
            false => digits.parse().ok(),
        }
    }

    fn args(&mut self) -> Option<Args> {
        let from = self.rest;
        if let Some(object) = self.plain_args() {
            return Some(Args::Ok(vec![Value::Object(object)]));
        }
        self.rest = from;
        let mut lists = serde_json::Deserializer::from_str(self.rest).into_iter::<Vec<_>>();
        let args = lists.next()?.ok()?;
        self.rest = &self.rest[lists.byte_offset()..];
        Some(Args::Ok(args))
    }

    /// One object of plain values, as most calls have.
    fn plain_args(&mut self) -> Option<Object> {
        self.eat("[{")?;
        let mut object = Object::new();
        while self.eat("}]").is_none() {
            if !object.is_empty() {
                self.eat(",")?;
            }
            let name = self.string()?;
            check_field_name(name).ok()?;
            self.eat(":")?;
            let value = self.plain_value()?;
            // Of a name that comes twice serde keeps the last value.
            let is_new = object.insert(name.to_owned(), value).is_none();
            (is_new && object.len() <= OBJECT_FIELDS_MAX).then_some(())?;
        }
        Some(object)
    }

    fn plain_value(&mut self) -> Option<Value> {
        match self.rest.as_bytes().first()? {
            b'"' => self.string().map(|text| Value::String(text.to_owned())),
            b't' => self.eat("true").map(|()| Value::Boolean(true)),
            b'f' => self.eat("false").map(|()| Value::Boolean(false)),
            b'n' => self.eat("null").map(|()| Value::Null),
            b'0'..=b'9' => self.number().map(|number| Value::Float64(number.into())),
            _ => None,
        }
    }

    fn journal(&mut self) -> Option<Journal> {
        match self.eat("null") {
            Some(()) => Some(Journal(None)),
            None => self.string().map(|text| Journal(Some(Arc::from(text)))),
        }
    }

    fn call(&mut self) -> Option<CallMessage> {
        let (mut request_id, mut path, mut args) = (None, None, None);
        while !self.is_at_end() {
            match self.key()? {
                "requestId" => once(&mut request_id, RequestId(self.number()?))?,
                "udfPath" => once(&mut path, path_of(self.string()?))?,
                "args" => once(&mut args, self.args()?)?,
                _ => return None,
            }
        }
        Some(CallMessage {
            request_id: request_id?,
            path: path?,
            args: args?,
            component_path: None,
        })
    }

    fn modify_query_set(&mut self) -> Option<ModifyQuerySet> {
        let (mut base_version, mut new_version, mut modifications) = (None, None, None);
        while !self.is_at_end() {
            match self.key()? {
                "baseVersion" => once(&mut base_version, self.number()?)?,
                "newVersion" => once(&mut new_version, self.number()?)?,
                "modifications" => once(&mut modifications, self.modifications()?)?,
                _ => return None,
            }
        }
        Some(ModifyQuerySet {
            base_version: base_version?,
            new_version: new_version?,
            modifications: modifications?,
        })
    }

    fn modifications(&mut self) -> Option<Vec<QuerySetModification>> {
        self.eat("[")?;
        let mut modifications = Vec::new();
        if self.eat("]").is_some() {
            return Some(modifications);
        }
        loop {
            modifications.push(match self.tag()? {
                "Add" => QuerySetModification::Add(self.add_query()?),
                "Remove" => self.remove()?,
                _ => return None,
            });
            self.eat("}")?;
            if self.eat("]").is_some() {
                return Some(modifications);
            }
            self.eat(",")?;
        }
    }

    fn add_query(&mut self) -> Option<AddQuery> {
        let (mut query_id, mut path, mut args, mut journal) = (None, None, None, None);
        while !self.is_at_end() {
            match self.key()? {
                "queryId" => once(&mut query_id, QueryId(self.number()?))?,
                "udfPath" => once(&mut path, path_of(self.string()?))?,
                "args" => once(&mut args, self.args()?)?,
                "journal" => once(&mut journal, self.journal()?)?,
                _ => return None,
            }
        }
        Some(AddQuery {
            query_id: query_id?,
            path: path?,
            args: args?,
            journal,
            component_path: None,
        })
    }

    fn remove(&mut self) -> Option<QuerySetModification> {
        match self.key()? {
            "queryId" => {
                let query_id = QueryId(self.number()?);
                Some(QuerySetModification::Remove { query_id })
            }
            _ => None,
        }
    }

    /// Whether the object that is being read ends here.
    fn is_at_end(&self) -> bool {
        self.rest.starts_with('}')
    }
}

/// A key that comes twice is an error, which serde words.
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::MessageError;
    use super::*;

    /// A message as serde alone reads it.
    fn by_serde(text: &str) -> Result<ClientMessage, MessageError> {
        ClientMessage::parse_by_serde(text)
    }

    fn args() -> impl Strategy<Value = Args> {
        let value = prop_oneof![
            any::<f64>().prop_map(Value::Float64),
            any::<i64>().prop_map(Value::Int64),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,6}".prop_map(Value::String),
            Just(Value::Null),
            vec(any::<bool>().prop_map(Value::Boolean), 0..3).prop_map(Value::Array),
        ];
        let object = vec(("[a-z]{1,6}", value), 0..4);
        let object = object.prop_map(|fields| Value::Object(fields.into_iter().collect()));
        vec(object, 0..3).prop_map(Args::Ok)
    }

    fn path() -> impl Strategy<Value = PathText> {
        prop_oneof![
            "[a-z]{1,5}:[a-z]{1,5}".prop_map(PathText::new),
            ".{0,8}".prop_map(PathText::new),
        ]
    }

    fn call() -> impl Strategy<Value = CallMessage> {
        (any::<u32>(), path(), args()).prop_map(|(request_id, path, args)| CallMessage {
            request_id: RequestId(request_id),
            path,
            args,
            component_path: None,
        })
    }

    fn modification() -> impl Strategy<Value = QuerySetModification> {
        let journal = prop::option::of(prop::option::of("[ -~]{0,5}"));
        let add = (any::<u32>(), path(), args(), journal);
        let add = add.prop_map(|(query_id, path, args, journal)| {
            QuerySetModification::Add(AddQuery {
                query_id: QueryId(query_id),
                path,
                args,
                journal: journal.map(|text| Journal(text.map(Arc::from))),
                component_path: None,
            })
        });
        prop_oneof![
            add,
            any::<u32>().prop_map(|id| QuerySetModification::Remove {
                query_id: QueryId(id)
            }),
        ]
    }

    fn message() -> impl Strategy<Value = ClientMessage> {
        let modify = (any::<u32>(), any::<u32>(), vec(modification(), 0..4));
        let modify = modify.prop_map(|(base_version, new_version, modifications)| {
            ClientMessage::ModifyQuerySet(ModifyQuerySet {
                base_version,
                new_version,
                modifications,
            })
        });
        prop_oneof![
            call().prop_map(ClientMessage::Mutation),
            call().prop_map(ClientMessage::Action),
            modify,
        ]
    }

    /// Pieces that make a text another one, or an invalid one.
    fn pieces() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "\\u0061",
            " ",
            "\n",
            "\u{1}",
            "0",
            "7",
            "00",
            "-1",
            "1e3",
            "4294967296",
            "null",
            "true",
            "ä",
            "type",
            "\"type\":\"Add\"",
            ",\"requestId\":1",
            "\"args\":[]",
            ",\"journal\":null",
            ",\"componentPath\":\"a\"",
            "\"udfPath\":\"a:b\",",
            "Mutation",
            "Remove",
        ])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

        #[test]
        fn what_official_clients_write_is_read_as_serde_reads_it(message in message()) {
            let text = message.to_json().unwrap();
            prop_assert_eq!(&by_serde(&text).unwrap(), &message);
            // Escapes are left to serde.
            match parse(&text) {
                Some(read) => prop_assert_eq!(read, message),
                None => prop_assert!(text.contains('\\')),
            }
        }

        #[test]
        fn any_other_text_is_read_as_serde_reads_it_or_left_to_serde(
            message in message(),
            edits in vec((any::<prop::sample::Index>(), 0..12usize, pieces()), 1..4),
        ) {
            let mut text = message.to_json().unwrap();
            for (at, len, piece) in edits {
                let boundary = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap();
                let from = boundary(at.index(text.len() + 1));
                let to = boundary(text.len().min(from + len)).max(from);
                text.replace_range(from..to, piece);
            }
            if let Some(read) = parse(&text) {
                prop_assert_eq!(by_serde(&text).ok(), Some(read), "{}", text);
            }
        }
    }

    #[test]
    fn a_path_that_is_known_means_what_it_meant_and_few_are_known() {
        for round in 0..3 {
            for number in 0..2 * KNOWN_PATHS_MAX {
                let text = format!("module{number}:f");
                assert_eq!(path_of(&text), PathText::new(&text), "{round}");
                assert_eq!(path_of(&text), PathText::new(&text), "{round}");
                assert_eq!(path_of("a b"), PathText::Invalid("a b".to_string()));
            }
        }
        KNOWN_PATHS.with_borrow(|known| assert_eq!(known.len(), KNOWN_PATHS_MAX));
    }

    #[test]
    fn calls_of_every_day_are_read_here() {
        for text in [
            r#"{"type":"Mutation","requestId":7,"udfPath":"bank:transfer","args":[{"from":"a","amount":1}]}"#,
            r#"{"type":"Action","udfPath":"a:b","args":[],"requestId":0}"#,
            r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"Add","queryId":0,"udfPath":"a:b","args":[{}]},{"type":"Remove","queryId":3}]}"#,
        ] {
            assert_eq!(parse(text).unwrap(), by_serde(text).unwrap(), "{text}");
        }
    }
}
