//! Documents and queries against a plain list: random documents, ranges, orders, filters and limits. They run over a
//! random mixture of folded documents, unfolded ones and the transaction's own writes.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use vestibule_schema::object;
use vestibule_schema::path::FieldPath;

use super::super::keys::{IndexId, encode_document, index_key};
use super::*;

const INDEXES: [(&str, &[&str]); 5] = [
    ("by_id", &[]),
    ("by_creation_time", &[]),
    ("by_a", &["a"]),
    ("by_ab", &["a", "b.c"]),
    ("by_b", &["b"]),
];

fn rig() -> Rig {
    Rig::new(schema([
        table("rooms", &INDEXES[2..]),
        table("others", &[("by_a", &["a"])]),
    ]))
}

/// `None` is undefined. Few enough that they meet, of all types, with neighbours that are easily confused.
fn value() -> impl Strategy<Value = Option<Value>> {
    let nan = f64::from_bits(f64::NAN.to_bits() | 1);
    let mut values = vec![
        None,
        Some(Value::Null),
        Some(Value::from(vec![0_u8])),
        Some(Value::from(vec![0_u8; 2])),
    ];
    values.extend([i64::MIN, -1, 0, 1, 300].map(|number| Some(Value::from(number))));
    values
        .extend([-1.5, -0.0, 0.0, 1.0, f64::INFINITY, nan].map(|number| Some(Value::from(number))));
    values.extend([false, true].map(|truth| Some(Value::from(truth))));
    values.extend(
        ["", "a", "a\0", "a\0b", "a\u{1}", "b", "\u{10ffff}"].map(|text| Some(Value::from(text))),
    );
    values.extend(
        [vec![], vec![Value::Null], vec![Value::Null; 2]].map(|list| Some(Value::from(list))),
    );
    values.extend([object! {}, object! {"c" => 1}].map(|object| Some(Value::from(object))));
    select(values)
}

/// The fields `a`, `b` (often an object with `c`) and `n` of a document.
fn fields() -> impl Strategy<Value = Object> {
    let inner = value().prop_map(|c| {
        let fields = c.map(|c| ("c".to_string(), c));
        Some(Value::from(fields.into_iter().collect::<Object>()))
    });
    (value(), prop_oneof![inner, value()], 0..3).prop_map(|(a, b, n)| {
        let named = [("a", a), ("b", b), ("n", Some(Value::from(n)))];
        let present = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_string(), value?)));
        present.collect()
    })
}

#[derive(Clone, Debug)]
enum Write {
    Insert(Object),
    Patch(Index, BTreeMap<String, Option<Value>>),
    Replace(Index, Object),
    Delete(Index),
    /// Into another table, whose entries must not be met.
    InsertElsewhere(Object),
}

fn write() -> impl Strategy<Value = Write> {
    let patch = (select(vec!["a", "b", "n"]), value())
        .prop_map(|(name, value)| BTreeMap::from([(name.to_string(), value)]));
    prop_oneof![
        4 => fields().prop_map(Write::Insert),
        3 => (any::<Index>(), patch).prop_map(|(which, patch)| Write::Patch(which, patch)),
        1 => (any::<Index>(), fields()).prop_map(|(which, fields)| Write::Replace(which, fields)),
        2 => any::<Index>().prop_map(Write::Delete),
        1 => fields().prop_map(Write::InsertElsewhere),
    ]
}

/// A query, to be fitted to an index.
#[derive(Clone, Debug)]
struct Look {
    index: usize,
    /// Values of equalities on the first fields, as many as asked for and there are.
    equals: Vec<Option<Value>>,
    lower: Option<(bool, Option<Value>)>,
    upper: Option<(bool, Option<Value>)>,
    /// A document whose creation time stands for the bounds' values where they meet it.
    near: Index,
    is_descending: bool,
    /// Only documents whose `a` is below this.
    filter: Option<Value>,
    limit: Option<usize>,
}

fn look() -> impl Strategy<Value = Look> {
    let bound = || option::weighted(0.4, (any::<bool>(), value()));
    let parts = (
        0..INDEXES.len(),
        vec(value(), 0..3),
        bound(),
        bound(),
        any::<Index>(),
    );
    let rest = (
        any::<bool>(),
        option::weighted(0.3, value()),
        option::weighted(0.5, 0..4_usize),
    );
    (parts, rest).prop_map(
        |((index, equals, lower, upper, near), (is_descending, filter, limit))| Look {
            index,
            equals,
            lower,
            upper,
            near,
            is_descending,
            filter: filter.flatten(),
            limit,
        },
    )
}

/// The documents of `rooms` in the order of their creation.
type Model = Vec<RawDocument>;

fn pick<'m>(model: &'m Model, which: &Index) -> Option<&'m RawDocument> {
    (!model.is_empty()).then(|| which.get(model))
}

impl Write {
    fn apply(self, tx: &mut Transaction<'_>, model: &mut Model) {
        let changed = match self {
            Write::Insert(fields) => {
                let id = tx.insert("rooms", fields.clone()).unwrap();
                let stored = tx.get(id).unwrap().unwrap();
                assert_eq!(
                    super::super::writing::user_fields(stored.fields.clone()),
                    fields
                );
                model.push(stored);
                return;
            }
            Write::InsertElsewhere(fields) => {
                tx.insert("others", fields).unwrap();
                return;
            }
            Write::Patch(which, patch) => pick(model, &which).map(|old| {
                let changes = patch
                    .iter()
                    .fold(Patch::default(), |changes, (name, value)| match value {
                        Some(value) => changes.set(name, value.clone()),
                        None => changes.unset(name),
                    });
                tx.patch(old.id, changes).unwrap();
                let mut new = old.clone();
                for (name, value) in patch {
                    match value {
                        Some(value) => new.fields.insert(name, value),
                        None => new.fields.remove(&name),
                    };
                }
                (new.id, Some(new))
            }),
            Write::Replace(which, fields) => pick(model, &which).map(|old| {
                tx.replace(old.id, fields.clone()).unwrap();
                let mut new = RawDocument { id: old.id, fields };
                for name in ["_id", "_creationTime"] {
                    new.fields
                        .insert(name.to_string(), old.fields[name].clone());
                }
                (new.id, Some(new))
            }),
            Write::Delete(which) => pick(model, &which).map(|old| {
                tx.delete(old.id).unwrap();
                (old.id, None)
            }),
        };
        if let Some((id, new)) = changed {
            let at = model.iter().position(|document| document.id == id).unwrap();
            match new {
                Some(new) => model[at] = new,
                None => drop(model.remove(at)),
            }
        }
    }
}

/// The way a key of one index begins, and what each bound says of it.
struct Fitted {
    fields: Vec<FieldPath>,
    bounds: Vec<Bound>,
}

impl Look {
    fn fit(&self, model: &Model) -> Fitted {
        let (_, declared) = INDEXES[self.index];
        let fields: Vec<FieldPath> = declared
            .iter()
            .map(|field| field.parse().unwrap())
            .collect();
        let equals = fields.iter().cloned().zip(self.equals.iter().cloned());
        let mut bounds: Vec<Bound> = equals
            .map(|(field, value)| Bound {
                kind: BoundKind::Eq,
                field: field.to_string().into(),
                value,
            })
            .collect();
        let near = pick(model, &self.near).map(|document| document.fields["_creationTime"].clone());
        let next = fields.get(bounds.len()).cloned();
        let is_by_id = self.index == 0;
        let mut add = |given: &Option<(bool, Option<Value>)>, inclusive, exclusive| {
            let Some((is_inclusive, value)) = given.clone().filter(|_| !is_by_id) else {
                return;
            };
            let (field, value) = match &next {
                Some(field) => (field.clone(), value),
                None => ("_creationTime".parse().unwrap(), near.clone().or(value)),
            };
            let kind = if is_inclusive { inclusive } else { exclusive };
            let field = FieldPath::to_string(&field).into();
            bounds.push(Bound { kind, field, value });
        };
        add(&self.lower, BoundKind::Gte, BoundKind::Gt);
        add(&self.upper, BoundKind::Lte, BoundKind::Lt);
        Fitted { fields, bounds }
    }

    fn query(&self, model: &Model) -> Query {
        let mut operators = Vec::new();
        if let Some(limit) = &self.filter {
            let field = Expression::field("a".parse().unwrap());
            let below =
                Expression::compare(Comparison::Less, field, Expression::literal(limit.clone()));
            operators.push(Operator::Filter(below));
        }
        operators.extend(self.limit.map(Operator::Limit));
        Query {
            table: "rooms".into(),
            source: Source::IndexRange {
                index: INDEXES[self.index].0.into(),
                bounds: self.fit(model).bounds,
            },
            order: if self.is_descending {
                Order::Desc
            } else {
                Order::Asc
            },
            operators,
        }
    }

    fn answer(&self, model: &Model) -> Vec<RawDocument> {
        let Fitted { fields, bounds } = self.fit(model);
        let holds = |document: &RawDocument, bound: &Bound| {
            let field: FieldPath = bound.field.parse().unwrap();
            let found = field.lookup(&document.fields);
            let wanted = bound.value.as_ref();
            match bound.kind {
                BoundKind::Eq => found == wanted,
                BoundKind::Gt => found > wanted,
                BoundKind::Gte => found >= wanted,
                BoundKind::Lt => found < wanted,
                BoundKind::Lte => found <= wanted,
            }
        };
        let mut found: Vec<RawDocument> = model
            .iter()
            .filter(|document| bounds.iter().all(|bound| holds(document, bound)))
            .cloned()
            .collect();
        found.sort_by_cached_key(|document| {
            let values: Vec<_> = fields
                .iter()
                .map(|field| field.lookup(&document.fields).cloned())
                .collect();
            let created = document
                .fields
                .get("_creationTime")
                .filter(|_| self.index != 0)
                .cloned();
            (values, created, document.id)
        });
        if self.is_descending {
            found.reverse();
        }
        let passes = |document: &RawDocument| match &self.filter {
            Some(limit) => document.fields.get("a") < Some(limit),
            None => true,
        };
        found.retain(passes);
        found.truncate(self.limit.unwrap_or(usize::MAX));
        found
    }

    fn check(&self, tx: &mut Transaction<'_>, model: &Model) {
        let query = self.query(model);
        assert_eq!(tx.collect(&query).unwrap(), self.answer(model), "{query:?}");
    }
}

#[derive(Clone, Debug)]
enum Action {
    Write(Write),
    Look(Look),
}

#[derive(Clone, Debug)]
enum Step {
    Run {
        actions: Vec<Action>,
        is_committed: bool,
    },
    Fold(usize),
    Look(Look),
}

fn step() -> impl Strategy<Value = Step> {
    let action =
        prop_oneof![2 => write().prop_map(Action::Write), 1 => look().prop_map(Action::Look)];
    prop_oneof![
        4 => (vec(action, 1..10), prop::bool::weighted(0.8))
            .prop_map(|(actions, is_committed)| Step::Run { actions, is_committed }),
        2 => (1..4_usize).prop_map(Step::Fold),
        4 => look().prop_map(Step::Look),
    ]
}

/// A query that has run, as a subscription keeps it.
struct Kept {
    query: Query,
    answer: Vec<RawDocument>,
    /// Its read sets on a snapshot, and at the head, where lookups go another way.
    reads: [ReadSet; 2],
}

/// Runs a query on a snapshot and at the head, which must agree.
fn run_twice(rig: &Rig, query: &Query) -> (Vec<RawDocument>, [ReadSet; 2]) {
    let (answer, reads) = rig.query(|tx| tx.collect(query).unwrap());
    let (same, head_reads) = rig.query_on(&rig.head, |tx| tx.collect(query).unwrap());
    assert_eq!(same, answer, "{query:?}");
    (answer, [reads, head_reads])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_that_of_a_plain_list_and_no_change_of_it_goes_unnoticed(steps in vec(step(), 1..40)) {
        let mut rig = rig();
        let mut model = Model::new();
        let mut kept: Vec<Kept> = Vec::new();
        for step in steps {
            match step {
                Step::Run { actions, is_committed } => {
                    let mut after = model.clone();
                    let ((), changes) = rig.run(|tx| {
                        for action in actions {
                            match action {
                                Action::Write(write) => write.apply(tx, &mut after),
                                Action::Look(look) => look.check(tx, &after),
                            }
                        }
                    });
                    if is_committed {
                        model = after;
                        rig.append(changes.writes);
                        kept.retain_mut(|kept| refresh(&rig, kept, &changes.touched));
                    }
                }
                Step::Fold(steps) => {
                    for _ in 0..steps {
                        rig.appender.fold().unwrap();
                    }
                    rig.head.refresh();
                }
                Step::Look(look) => {
                    let query = look.query(&model);
                    let (answer, reads) = run_twice(&rig, &query);
                    prop_assert_eq!(&answer, &look.answer(&model), "{:?}", query);
                    kept.push(Kept { query, answer, reads });
                }
            }
        }
        let by_creation = rig.query(|tx| tx.collect(&Query::table("rooms")).unwrap()).0;
        prop_assert_eq!(&by_creation, &model);
    }

    #[test]
    fn keys_are_in_the_order_of_the_values_they_hold(one in fields(), other in fields(), later in any::<bool>()) {
        let fields: [FieldPath; 2] = ["a", "b.c"].map(|field| field.parse().unwrap());
        let document = |fields: &Object, created: f64| {
            let mut fields = fields.clone();
            fields.insert("_creationTime".into(), Value::from(created));
            fields
        };
        let (one, other) = (document(&one, 5.0), document(&other, if later { 6.0 } else { 5.0 }));
        let values = |document: &Object| {
            let mut values = fields.each_ref().map(|field| field.lookup(document).cloned()).to_vec();
            values.push(document.get("_creationTime").cloned());
            values
        };
        let id = vestibule_schema::id::InternalId([4; 16]);
        let key = |document: &Object| index_key(IndexId(20), &fields, &encode_document(document.clone()), id).unwrap();
        prop_assert_eq!(key(&one).cmp(&key(&other)), values(&one).cmp(&values(&other)));
    }
}

/// Runs a kept query again after a commit; whether it need not be looked at again. A changed answer must be noticed.
fn refresh(rig: &Rig, kept: &mut Kept, touched: &Touched) -> bool {
    let is_noticed = |reads: &ReadSet| touched.iter().any(|key| reads.contains(key));
    let is_stale = kept.reads.iter().all(is_noticed);
    let (answer, reads) = run_twice(rig, &kept.query);
    assert!(
        is_stale || answer == kept.answer,
        "a change of {:?} went unnoticed",
        kept.query
    );
    (kept.answer, kept.reads) = (answer, reads);
    true
}
