//! Random documents, writes and searches against the rules read plainly: every document is looked at, word by word. Results
//! that no commit has made stale are those of running again.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const WORDS: [&str; 12] = [
    "a", "ab", "abc", "abd", "b", "ba", "Bab", "c", "CA", "cab", "é", "d",
];
const OWNERS: [&str; 3] = ["ada", "bob", "eve"];

fn word() -> impl Strategy<Value = &'static str> {
    select(&WORDS[..])
}

/// A text, now and then something else.
fn content() -> impl Strategy<Value = Option<Value>> {
    let text = (vec(word(), 0..7), select(vec![" ", ", ", "-"]))
        .prop_map(|(words, between)| Some(Value::from(words.join(between))));
    prop_oneof![
        8 => text,
        1 => Just(None),
        1 => Just(Some(Value::Float64(1.0))),
    ]
}

fn fields() -> impl Strategy<Value = Object> {
    let kind = option::of(0..2_i64);
    (content(), option::of(select(&OWNERS[..])), kind).prop_map(|(text, owner, kind)| {
        let meta = kind.map(|kind| Value::Object(object! { "kind" => kind }));
        let named = [
            ("text", text),
            ("owner", owner.map(Value::from)),
            ("meta", meta),
        ];
        let named = named.into_iter();
        named
            .filter_map(|(name, value)| Some((name.to_string(), value?)))
            .collect()
    })
}

#[derive(Clone, Debug)]
enum Write {
    Insert(Object),
    Replace(Index, Object),
    /// A field that no search looks at.
    Patch(Index),
    Text(Index, Option<Value>),
    Delete(Index),
    /// Writes that are taken back.
    Undone(Vec<Write>),
}

fn write() -> impl Strategy<Value = Write> {
    let plain = prop_oneof![
        6 => fields().prop_map(Write::Insert),
        2 => (any::<Index>(), fields()).prop_map(|(which, fields)| Write::Replace(which, fields)),
        1 => any::<Index>().prop_map(Write::Patch),
        2 => (any::<Index>(), content()).prop_map(|(which, text)| Write::Text(which, text)),
        2 => any::<Index>().prop_map(Write::Delete),
    ];
    let undone = vec(plain.clone().boxed(), 1..4).prop_map(Write::Undone);
    prop_oneof![8 => plain, 1 => undone]
}

#[derive(Clone, Debug)]
struct Look {
    text: String,
    owner: Option<Option<&'static str>>,
    kind: Option<Option<i64>>,
}

fn look() -> impl Strategy<Value = Look> {
    let text = vec(word(), 0..4).prop_map(|words| words.join(" "));
    let owner = option::of(option::of(select(&OWNERS[..])));
    let kind = option::of(option::of(0..2_i64));
    (text, owner, kind).prop_map(|(text, owner, kind)| Look { text, owner, kind })
}

impl Look {
    fn query(&self) -> Query {
        let eq = |field: &'static str, value: Option<Value>| SearchFilter::Eq {
            field: field.into(),
            value,
        };
        let owner = self.owner.map(|owner| eq("owner", owner.map(Value::from)));
        let kind = self
            .kind
            .map(|kind| eq("meta.kind", kind.map(Value::Int64)));
        let filters = [Some(text_of(&self.text)), owner, kind];
        filtered(filters.into_iter().flatten().collect())
    }

    fn accepts(&self, fields: &Object) -> bool {
        let owner = fields.get("owner");
        let kind = fields
            .get("meta")
            .and_then(|meta| meta.as_object()?.get("kind"));
        let is = |found: Option<&Value>, wanted: Option<Option<Value>>| {
            wanted.is_none_or(|wanted| found == wanted.as_ref())
        };
        is(owner, self.owner.map(|owner| owner.map(Value::from)))
            && is(kind, self.kind.map(|kind| kind.map(Value::Int64)))
    }
}

/// The words of a text, letter by letter.
fn plain_tokens(text: &str) -> Vec<String> {
    let mut tokens = vec![String::new()];
    for letter in text.chars() {
        match (letter.is_alphanumeric(), tokens.last_mut()) {
            (true, Some(last)) => last.push(letter),
            (true, None) | (false, _) => tokens.push(String::new()),
        }
    }
    tokens.retain(|token| !token.is_empty() && token.len() < 32);
    tokens.iter().map(|token| token.to_lowercase()).collect()
}

/// The rules, read plainly: the ids in the order of the result.
fn expected(documents: &[RawDocument], look: &Look) -> Vec<DocumentId> {
    let tokens_of = |document: &RawDocument| match document.fields.get("text") {
        Some(Value::String(text)) => plain_tokens(text),
        _ => Vec::new(),
    };
    let accepted = documents.iter().filter(|found| look.accepts(&found.fields));
    let accepted: Vec<_> = accepted.map(|found| (found, tokens_of(found))).collect();
    let query = plain_tokens(&look.text);
    let mut weights: Vec<(String, f64)> = Vec::new();
    for token in &query {
        if !weights.iter().any(|(known, _)| known == token) {
            weights.push((token.clone(), 1.0));
        }
    }
    let mut all: Vec<&String> = accepted.iter().flat_map(|(_, tokens)| tokens).collect();
    all.sort();
    all.dedup();
    for token in all {
        let begins = query.last().is_some_and(|last| token.starts_with(last));
        if begins && !weights.iter().any(|(known, _)| known == token) {
            weights.push((token.clone(), 0.5));
        }
    }
    let matches = accepted.iter().filter(|(_, tokens)| {
        weights
            .iter()
            .any(|(weighted, _)| tokens.contains(weighted))
    });
    let matches: Vec<_> = matches.collect();
    let score = |tokens: &[String]| {
        let (mut score, mut of_last) = (0.0, 0.0_f64);
        for (weighted, weight) in &weights {
            let times = tokens.iter().filter(|token| *token == weighted).count() as f64;
            let long = 1.2 * (1.0 - 0.75 + 0.75 * (tokens.len() as f64 / 64.0));
            let found = weight * (times * (1.2 + 1.0) / (times + long));
            if *weight < 1.0 || query.last() == Some(weighted) {
                of_last = of_last.max(found);
            } else {
                score += found;
            }
        }
        score + of_last
    };
    let mut ranked: Vec<(f64, f64, DocumentId)> = matches
        .iter()
        .map(|(found, tokens)| {
            let time = found.fields["_creationTime"].as_f64().unwrap();
            (score(tokens), time, found.id)
        })
        .collect();
    ranked.sort_by(|a, b| {
        let by_score = b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1));
        by_score.then(b.2.internal().0.cmp(&a.2.internal().0))
    });
    ranked.into_iter().map(|(_, _, id)| id).collect()
}

fn perform(tx: &mut Transaction<'_>, write: &Write) {
    let all = tx.collect(&Query::table("notes")).unwrap();
    let pick = |which: &Index| (!all.is_empty()).then(|| which.get(&all).id);
    match write {
        Write::Insert(fields) => {
            tx.insert("notes", fields.clone()).unwrap();
        }
        Write::Replace(which, fields) => {
            if let Some(id) = pick(which) {
                tx.replace(id, fields.clone()).unwrap();
            }
        }
        Write::Patch(which) => {
            if let Some(id) = pick(which) {
                tx.patch(id, object! { "n" => 1 }).unwrap();
            }
        }
        Write::Text(which, text) => {
            let patch = super::super::super::Patch::default();
            let patch = match text {
                Some(text) => patch.set("text", text),
                None => patch.unset("text"),
            };
            if let Some(id) = pick(which) {
                tx.patch(id, patch).unwrap();
            }
        }
        Write::Delete(which) => {
            if let Some(id) = pick(which) {
                tx.delete(id).unwrap();
            }
        }
        Write::Undone(writes) => {
            let point = tx.savepoint();
            writes.iter().for_each(|write| perform(tx, write));
            tx.roll_back_to(point);
        }
    }
}

fn check(tx: &mut Transaction<'_>, looks: &[Look]) {
    let all = tx.collect(&Query::table("notes")).unwrap();
    for look in looks {
        let found = tx.collect(&look.query()).unwrap();
        let found: Vec<DocumentId> = found.iter().map(|document| document.id).collect();
        assert_eq!(found, expected(&all, look), "{look:?} over {all:?}");
    }
}

/// The results that are kept, each with what it depends on.
type Kept = BTreeMap<usize, (Vec<RawDocument>, ReadSet)>;

fn forget_stale(
    rig: &Rig,
    kept: &mut Kept,
    looks: &[Look],
    touched: &super::super::super::Touched,
) {
    kept.retain(|_, (_, reads)| !touched.iter().any(|key| reads.contains(key)));
    for (at, look) in looks.iter().enumerate() {
        let (again, reads) = rig.query(|tx| tx.collect(&look.query()).unwrap());
        if let Some((result, _)) = kept.get(&at) {
            assert_eq!(result, &again, "{look:?} should have become stale");
        }
        kept.insert(at, (again, reads));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn searches_find_what_the_rules_say_and_kept_results_are_those_of_running_again(
        transactions in vec((vec(write(), 1..6), any::<bool>(), any::<bool>()), 1..8),
        looks in vec(look(), 1..5),
    ) {
        let mut rig = rig();
        let mut kept = Kept::new();
        for (writes, is_kept, is_folded) in &transactions {
            let changes = rig.changes_of(|tx| {
                writes.iter().for_each(|write| perform(tx, write));
                check(tx, &looks);
            });
            if *is_kept {
                let touched = changes.touched.clone();
                rig.append_changes(changes);
                forget_stale(&rig, &mut kept, &looks, &touched);
            }
            if *is_folded {
                rig.fold();
            }
            rig.query(|tx| check(tx, &looks));
        }
        prop_assert_eq!(faults(&rig).0, Vec::<String>::new());
    }
}
