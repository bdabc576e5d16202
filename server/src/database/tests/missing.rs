//! Missing and null fields in the typed API: every inserted document is found by the same values.

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use vestibule_schema::id::DocumentId;
use vestibule_schema::path::FieldPath;
use vestibule_schema::table::{Index, Schema, Table};
use vestibule_schema::value::{Object, Value};

use super::{Rig, with_writer};
use crate::database::{
    Comparison, DatabaseReader, DatabaseWriter, Document, Expression, Nullable, Patch, Transaction,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Person {
    name: String,
    nick: Option<String>,
    age: Option<f64>,
    died: Nullable<f64>,
}

impl Person {
    const BY_NICK: Index<Person> = Index::new("by_nick", &["nick"]);
    const BY_DIED: Index<Person> = Index::new("by_died", &["died"]);
    const BY_ALL: Index<Person> = Index::new("by_all", &["age", "died", "nick"]);
}

impl Table for Person {
    const NAME: &'static str = "people";
    const INDEXES: &'static [Index<Person>] = &[Person::BY_NICK, Person::BY_DIED, Person::BY_ALL];
}

/// Two of a few values each, so that they meet.
fn person() -> impl Strategy<Value = Person> {
    let number = || prop_oneof![Just(0.0), Just(1.0)];
    let text = prop_oneof![Just(String::new()), Just("a".to_owned())];
    (
        "[ab]",
        prop::option::of(text),
        prop::option::of(number()),
        prop::option::of(number()),
    )
        .prop_map(|(name, nick, age, died)| Person {
            name,
            nick,
            age,
            died: Nullable(died),
        })
}

fn field(name: &str) -> Expression {
    Expression::field(name.parse::<FieldPath>().unwrap())
}

fn equals(name: &str, value: impl Serialize) -> Expression {
    let (left, right) = (field(name), Expression::literal(value));
    Expression::compare(Comparison::Equal, left, right)
}

type Found = Vec<DocumentId<Person>>;

/// The result of each way of asking for `wanted`'s values, with the fields of a person that it compares.
fn ask(rig: &Rig, wanted: &Person) -> Vec<(&'static str, Found)> {
    let find = |how: &'static str,
                query: &dyn Fn(&mut DatabaseReader<'_>) -> Vec<Document<Person>>| {
        let (found, _) = rig.query(|tx| read(tx, |db| query(db)));
        (how, found.into_iter().map(|person| person.id).collect())
    };
    let Person {
        nick, age, died, ..
    } = wanted;
    vec![
        find("nick", &|db| {
            db.query().index(Person::BY_NICK, nick).collect().unwrap()
        }),
        find("died", &|db| {
            db.query().index(Person::BY_DIED, died).collect().unwrap()
        }),
        find("all", &|db| {
            let all = db.query().index_range(Person::BY_ALL, |range| {
                range.eq("age", age).eq("died", died).eq("nick", nick)
            });
            all.collect().unwrap()
        }),
        find("nick", &|db| {
            db.query().filter(equals("nick", nick)).collect().unwrap()
        }),
        find("died", &|db| {
            db.query().filter(equals("died", died)).collect().unwrap()
        }),
        find("nick", &|db| {
            let range =
                |range: crate::database::IndexRange| range.gte("nick", nick).lte("nick", nick);
            db.query()
                .index_range(Person::BY_NICK, range)
                .collect()
                .unwrap()
        }),
    ]
}

fn is_found(how: &str, one: &Person, other: &Person) -> bool {
    match how {
        "nick" => one.nick == other.nick,
        "died" => one.died == other.died,
        _ => one.nick == other.nick && one.died == other.died && one.age == other.age,
    }
}

fn write<R>(rig: &mut Rig, body: impl FnOnce(&mut DatabaseWriter<'_>) -> R) -> R {
    rig.commit(|tx| with_writer(tx, body))
}

fn read<R>(tx: &mut Transaction<'_>, body: impl FnOnce(&mut DatabaseReader<'_>) -> R) -> R {
    with_writer(tx, |db| body(db))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_inserted_or_patched_is_found_by_the_same_values(
        people in prop::collection::vec(person(), 1..8),
        changed in person(),
    ) {
        let mut rig = Rig::new(Schema::new().table::<Person>());
        let mut stored: Vec<(DocumentId<Person>, Person)> = people
            .into_iter()
            .map(|person| (write(&mut rig, |db| db.insert(person.clone())).unwrap(), person))
            .collect();
        for step in 0..2 {
            let wanted: Vec<Person> = stored.iter().map(|(_, person)| person.clone()).collect();
            for wanted in &wanted {
                for (how, mut found) in ask(&rig, wanted) {
                    let same = stored.iter().filter(|(_, person)| is_found(how, person, wanted));
                    let mut expected: Found = same.map(|(id, _)| *id).collect();
                    found.sort_by_key(|id| id.to_string());
                    expected.sort_by_key(|id| id.to_string());
                    prop_assert_eq!(found, expected, "{} of {:?}, step {}", how, wanted, step);
                }
            }
            // A patch means by its values what an insert does.
            let (id, person) = &mut stored[0];
            let patch = Patch::default()
                .set("name", &changed.name)
                .set("nick", &changed.nick)
                .set("age", changed.age)
                .set("died", changed.died);
            write(&mut rig, |db| db.patch(*id, patch)).unwrap();
            *person = changed.clone();
            let (read, _) = rig.query(|tx| {
                read(tx, |db| db.get(*id))
            });
            prop_assert_eq!(&read.unwrap().unwrap().value, &*person);
        }
    }
}

#[test]
fn null_has_a_name_of_its_own_and_is_not_what_is_missing() {
    let mut rig = Rig::new(Schema::new().table::<Person>());
    let ada = Person {
        name: "Ada".into(),
        nick: None,
        age: None,
        died: Nullable(None),
    };
    let id = write(&mut rig, |db| db.insert(ada)).unwrap();
    let fields = |rig: &Rig| -> Object {
        let (stored, _) = rig.query(|tx| tx.get(id.untyped()).unwrap().unwrap());
        stored.fields
    };
    let stored = fields(&rig);
    assert!(!stored.contains_key("nick") && !stored.contains_key("age"));
    assert_eq!(stored["died"], Value::Null);
    let found = |value: &dyn Fn(&mut DatabaseReader<'_>) -> usize| {
        rig.query(|tx| read(tx, |db| value(db))).0
    };
    let count = |query: Result<usize, _>| {
        query.unwrap_or_else(|error: crate::database::DatabaseError| panic!("{error}"))
    };
    let none = None::<f64>;
    assert_eq!(
        found(&|db| count(db.query().index(Person::BY_DIED, Value::Null).count())),
        1
    );
    assert_eq!(
        found(&|db| count(db.query().index(Person::BY_DIED, Nullable(none)).count())),
        1
    );
    assert_eq!(
        found(&|db| count(db.query().index(Person::BY_DIED, none).count())),
        0
    );
    assert_eq!(
        found(&|db| count(db.query().index(Person::BY_NICK, none).count())),
        1
    );
    assert_eq!(
        found(&|db| count(db.query().index(Person::BY_NICK, Value::Null).count())),
        0
    );
    assert_eq!(
        found(&|db| count(db.query::<Person>().filter(equals("nick", ())).count())),
        0
    );
    let wide = write(&mut rig, |db| {
        db.patch(id, Patch::default().set("age", 1_u128))
    });
    assert!(wide.unwrap_err().to_string().contains("128-bit"));
}
