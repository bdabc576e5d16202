//! Single documents: get, insert, patch, replace and delete, and what a write keeps true.

use serde::{Deserialize, Serialize};
use vestibule_schema::id::{DocumentId, InternalId, TableNumber};
use vestibule_schema::object;
use vestibule_schema::table::{Index, Table};
use vestibule_schema::validator::{Field, Validator};

use super::*;

fn users() -> Schema {
    schema([table(
        "users",
        &[("by_age", &["age"]), ("by_email!", &["email"])],
    )])
}

fn set(field: &str, value: impl Into<Value>) -> Patch {
    Patch::default().set(field, value.into())
}

fn unset(field: &str) -> Patch {
    Patch::default().unset(field)
}

fn absent(number: u32) -> DocumentId {
    DocumentId::new(TableNumber::new(number).unwrap(), InternalId([9; 16]))
}

fn get(rig: &Rig, id: DocumentId) -> Option<Object> {
    let (document, _) = rig.query(|tx| tx.get(id).unwrap());
    document.map(|document| document.fields)
}

#[test]
fn an_inserted_document_is_read_back_with_its_system_fields() {
    let mut rig = Rig::new(users());
    let id = rig.insert("users", object! {"name" => "Ada"});
    assert_eq!(id.table().get(), 10_001);
    let mut fields = get(&rig, id).unwrap();
    assert_eq!(fields.remove("_id"), Some(Value::from(id.to_string())));
    let created = fields.remove("_creationTime").unwrap().as_f64().unwrap();
    assert!((created - START as f64 * 1000.0).abs() < 1.0, "{created}");
    assert_eq!(fields, object! {"name" => "Ada"});
}

#[test]
fn creation_times_rise_with_every_insert() {
    let mut rig = Rig::new(users());
    rig.commit(|tx| {
        for _ in 0..50 {
            tx.insert("users", object! {}).unwrap();
        }
    });
    rig.insert("users", object! {});
    let (all, _) = rig.query(|tx| tx.collect(&Query::table("users")).unwrap());
    let times = column(&all, "_creationTime");
    assert_eq!(times.len(), 51);
    assert!(times.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_table_that_is_not_declared_takes_no_documents() {
    let mut rig = Rig::new(users());
    let refused = rig.attempt(|tx| tx.insert("rooms", object! {}));
    assert_eq!(
        text(refused),
        "Table `rooms` is not declared in the schema. Add it to the schema before writing to it."
    );
}

#[test]
fn system_fields_of_an_insert_cannot_be_chosen() {
    let mut rig = Rig::new(users());
    let other = absent(10_001).to_string();
    let refused = text(rig.attempt(|tx| tx.insert("users", object! {"_id" => other.clone()})));
    assert!(refused.starts_with("Provided document ID j5"), "{refused}");
    assert!(
        refused.ends_with(&format!(" doesn't match '_id' field {other}")),
        "{refused}"
    );
    let refused = text(rig.attempt(|tx| tx.insert("users", object! {"_creationTime" => 1.5})));
    assert!(
        refused.starts_with("Provided creation time 17600000000"),
        "{refused}"
    );
    assert!(
        refused.ends_with(" doesn't match '_creationTime' field in 1.5"),
        "{refused}"
    );
}

#[test]
fn a_patch_merges_at_the_top_level_only_and_none_removes_a_field() {
    let mut rig = Rig::new(users());
    let fields = object! {"a" => object! {"x" => 1, "y" => 2}, "b" => 1, "c" => 1};
    let id = rig.insert("users", fields);
    let before = get(&rig, id).unwrap();
    rig.commit(|tx| {
        tx.patch(id, set("a", object! {"x" => 9})).unwrap();
        tx.patch(id, unset("b")).unwrap();
    });
    let mut expected = before;
    expected.insert("a".into(), Value::from(object! {"x" => 9}));
    expected.remove("b");
    assert_eq!(get(&rig, id).unwrap(), expected);
}

#[test]
fn a_replace_drops_what_it_does_not_name_and_keeps_the_system_fields() {
    let mut rig = Rig::new(users());
    let id = rig.insert("users", object! {"a" => 1, "b" => 2});
    let before = get(&rig, id).unwrap();
    rig.commit(|tx| tx.replace(id, object! {"b" => 3})).unwrap();
    let after = get(&rig, id).unwrap();
    assert_eq!(after["_id"], before["_id"]);
    assert_eq!(after["_creationTime"], before["_creationTime"]);
    assert_eq!((after.get("a"), &after["b"]), (None, &Value::from(3)));

    // A document that was read may be written back whole.
    let mut spread = after;
    spread.insert("c".into(), Value::from(4));
    rig.commit(|tx| tx.replace(id, spread.clone())).unwrap();
    assert_eq!(get(&rig, id).unwrap(), spread);
}

#[test]
fn system_fields_can_be_written_only_as_they_are() {
    let mut rig = Rig::new(users());
    let id = rig.insert("users", object! {"a" => 1});
    let stored = get(&rig, id).unwrap();
    let (created, other) = (stored["_creationTime"].clone(), absent(10_001).to_string());
    let of_id = format!("Provided document ID {id} doesn't match '_id' field {other}");
    let of_time =
        format!("Provided creation time {created} doesn't match '_creationTime' field in 7.0");
    for (field, value, error) in [
        ("_id", Value::from(other.clone()), &of_id),
        ("_creationTime", Value::from(7.0), &of_time),
    ] {
        let patch = set(field, value.clone());
        assert_eq!(text(rig.attempt(|tx| tx.patch(id, patch))), *error);
        let fields = Object::from([(field.to_string(), value)]);
        assert_eq!(text(rig.attempt(|tx| tx.replace(id, fields))), *error);
    }
    rig.commit(|tx| {
        tx.patch(id, set("_id", id.to_string())).unwrap();
        tx.patch(id, set("_creationTime", created)).unwrap();
        tx.patch(id, unset("_creationTime")).unwrap();
    });
    assert_eq!(get(&rig, id).unwrap(), stored);
}

#[test]
fn what_is_not_there_is_read_as_nothing_and_cannot_be_written() {
    let mut rig = Rig::new(users());
    let id = rig.insert("users", object! {});
    rig.commit(|tx| tx.delete(id)).unwrap();
    for id in [id, absent(10_001), absent(10_002)] {
        assert_eq!(get(&rig, id), None);
    }
    let missing = absent(10_001);
    rig.attempt(|tx| {
        let texts = [
            text(tx.patch(missing, set("a", 1))),
            text(tx.replace(missing, object! {})),
            text(tx.delete(missing)),
        ];
        let verbs = ["Update", "Replace", "Delete"];
        assert_eq!(
            texts,
            verbs.map(|verb| format!("{verb} on nonexistent document ID {missing}"))
        );
    });
    let strange = absent(10_002);
    rig.attempt(|tx| {
        let texts = [
            text(tx.patch(strange, set("a", 1))),
            text(tx.replace(strange, object! {})),
            text(tx.delete(strange)),
        ];
        let methods = ["patch", "replace", "delete"];
        let expected = methods.map(|method| {
            format!("Invalid argument `id` for `db.{method}`: Table for ID \"{strange}\" not found")
        });
        assert_eq!(texts, expected);
    });
}

#[test]
fn a_document_is_deleted_once() {
    let mut rig = Rig::new(users());
    let id = rig.insert("users", object! {});
    rig.attempt(|tx| {
        tx.delete(id).unwrap();
        assert_eq!(tx.get(id).unwrap(), None);
        assert_eq!(
            text(tx.delete(id)),
            format!("Delete on nonexistent document ID {id}")
        );
    });
}

#[test]
fn a_query_refuses_every_write_and_remembers_that_one_was_asked() {
    let mut rig = Rig::new(users());
    let id = rig.insert("users", object! {});
    let (texts, _) = rig.query(|tx| {
        assert!(!tx.refused_a_write());
        let texts = [
            text(tx.insert("users", object! {})),
            text(tx.patch(id, set("a", 1))),
            text(tx.replace(id, object! {})),
            text(tx.delete(id)),
        ];
        assert!(tx.refused_a_write());
        texts
    });
    let methods = ["insert", "patch", "replace", "delete"];
    assert_eq!(
        texts,
        methods.map(|method| format!("A query cannot write. `db.{method}` needs a mutation."))
    );
}

#[test]
fn a_write_that_changes_nothing_writes_nothing() {
    let mut rig = Rig::new(users());
    let id = rig.insert("users", object! {"age" => 3, "email" => "a"});
    let stored = get(&rig, id).unwrap();
    let (usage, changes) = rig.run(|tx| {
        tx.patch(id, set("age", 3)).unwrap();
        tx.patch(id, unset("name")).unwrap();
        tx.patch(id, Patch::default()).unwrap();
        tx.replace(id, object! {"age" => 3, "email" => "a"})
            .unwrap();
        tx.replace(id, stored).unwrap();
        tx.usage()
    });
    assert!(changes.writes.is_empty() && changes.touched.is_empty());
    assert_eq!(usage.documents_written, 0);
    assert_eq!(usage.documents_read, 5);
}

#[test]
fn a_document_must_keep_its_limits() {
    let mut rig = Rig::new(users());
    let mut nested = Value::Null;
    for _ in 0..16 {
        nested = Value::from(vec![nested]);
    }
    let cases = [
        (
            object! {"a" => "x".repeat(1 << 20)},
            "Value is too large (1 MiB > maximum size 1 MiB)",
        ),
        (
            object! {"a" => nested},
            "Document is too nested (nested 17 levels deep > maximum nesting 16)",
        ),
        (
            object! {"_x" => 1},
            "Field '_x' starts with an underscore, which is only allowed for system fields like '_id'",
        ),
        (object! {"a b" => 1}, "Identifier a b has invalid character"),
    ];
    for (fields, expected) in cases {
        let refused = text(rig.attempt(|tx| tx.insert("users", fields)));
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn documents_are_held_to_their_tables_validator_without_the_system_fields() {
    let fields = [("name", Field::required(Validator::String))];
    let mut rig = Rig::new(schema([TableDefinition {
        document: Validator::object(fields),
        ..table("users", &[])
    }]));
    let id = rig.insert("users", object! {"name" => "Ada"});
    let refused = [
        rig.attempt(|tx| tx.insert("users", object! {"name" => 1}).map(|_| ())),
        rig.attempt(|tx| tx.patch(id, set("age", 1))),
        rig.attempt(|tx| tx.patch(id, unset("name"))),
        rig.attempt(|tx| tx.replace(id, object! {})),
    ];
    for refused in refused {
        let refused = text(refused);
        let start = "Failed to insert or update a document in table \"users\" because it does not match the schema: ";
        assert!(refused.starts_with(start), "{refused}");
    }
    rig.commit(|tx| tx.patch(id, set("name", "Grace"))).unwrap();
    assert_eq!(get(&rig, id).unwrap()["name"], Value::from("Grace"));
}

#[test]
fn a_refused_write_leaves_the_transaction_as_it_was() {
    let limits = Limits {
        documents_written_max: 2,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(users(), limits);
    let taken = rig.insert("users", object! {"age" => 1, "email" => "taken"});
    let other = rig.insert("users", object! {"age" => 2, "email" => "other"});
    let (documents, changes) = rig.run(|tx| {
        tx.insert("users", object! {"email" => "taken"})
            .unwrap_err();
        tx.patch(other, set("email", "taken")).unwrap_err();
        tx.patch(other, set("bad name", 1)).unwrap_err();
        tx.collect(&index("users", "by_age")).unwrap()
    });
    assert!(changes.writes.is_empty() && changes.touched.is_empty());
    assert_eq!(ids(&documents), [taken, other]);

    let (_, changes) = rig.run(|tx| {
        tx.insert("users", object! {}).unwrap();
        tx.insert("users", object! {}).unwrap();
        tx.insert("users", object! {}).unwrap_err();
    });
    let entries_of_a_document = 4;
    assert_eq!(changes.writes.len(), 2 * entries_of_a_document);
}

#[test]
fn a_missing_field_is_indexed_below_every_value() {
    let mut rig = Rig::new(users());
    let null = rig.insert("users", object! {"age" => ()});
    let missing = rig.insert("users", object! {});
    let young = rig.insert("users", object! {"age" => 1});
    let find = |query: &Query| ids(&rig.query(|tx| tx.collect(query).unwrap()).0);
    assert_eq!(find(&index("users", "by_age")), [missing, null, young]);
    let eq = range("users", "by_age", [undefined(BoundKind::Eq, "age")]);
    assert_eq!(find(&eq), [missing]);
    let above = range("users", "by_age", [undefined(BoundKind::Gt, "age")]);
    assert_eq!(find(&above), [null, young]);
    let below = range("users", "by_age", [bound(BoundKind::Lt, "age", 1)]);
    assert_eq!(find(&below), [missing, null]);
}

#[test]
fn a_transaction_reads_its_own_writes_through_indexes_in_both_directions() {
    let mut rig = Rig::new(users());
    let [a, b, c] = [1, 3, 5].map(|age| rig.insert("users", object! {"age" => age}));
    rig.fold();
    rig.attempt(|tx| {
        let d = tx.insert("users", object! {"age" => 2}).unwrap();
        let e = tx.insert("users", object! {"age" => 9}).unwrap();
        tx.delete(b).unwrap();
        tx.patch(a, set("age", 4)).unwrap();
        tx.patch(e, set("age", 0)).unwrap();
        let gone = tx.insert("users", object! {"age" => 4.5}).unwrap();
        tx.delete(gone).unwrap();
        let mut query = index("users", "by_age");
        assert_eq!(ids(&tx.collect(&query).unwrap()), [e, d, a, c]);
        query.order = Order::Desc;
        assert_eq!(ids(&tx.collect(&query).unwrap()), [c, a, d, e]);
        assert_eq!(ids(&tx.take(&query, 2).unwrap()), [c, a]);
        let ages = column(&tx.collect(&query).unwrap(), "age");
        assert_eq!(ages, [5, 4, 2, 0].map(|age| Some(Value::from(age))));
    });
}

#[test]
fn a_unique_index_holds_each_values_once() {
    let mut rig = Rig::new(users());
    let ada = rig.insert("users", object! {"email" => "ada"});
    let grace = rig.insert("users", object! {"email" => "grace"});
    let taken = format!(
        "Unique index \"users.by_email\" already holds a document with email = \"ada\": {ada}. \
         Update that document, or catch this error where two writers may meet."
    );
    assert_eq!(
        text(rig.attempt(|tx| tx.insert("users", object! {"email" => "ada"}))),
        taken
    );
    assert_eq!(
        text(rig.attempt(|tx| tx.patch(grace, set("email", "ada")))),
        taken
    );
    assert_eq!(
        text(rig.attempt(|tx| tx.replace(grace, object! {"email" => "ada"}))),
        taken
    );

    // It may be written over by its holder, and is free once the holder lets go.
    rig.commit(|tx| tx.patch(ada, set("age", 7))).unwrap();
    rig.commit(|tx| tx.replace(ada, object! {"email" => "ada", "age" => 8}))
        .unwrap();
    rig.attempt(|tx| {
        tx.delete(ada).unwrap();
        tx.insert("users", object! {"email" => "ada"}).unwrap();
        assert!(tx.patch(grace, set("email", "ada")).is_err());
    });
    rig.commit(|tx| tx.patch(ada, set("email", "lovelace")))
        .unwrap();
    rig.commit(|tx| tx.patch(grace, set("email", "ada")))
        .unwrap();
}

#[test]
fn documents_without_the_field_do_not_compete_in_a_unique_index() {
    let mut rig = Rig::new(schema([table("users", &[("by_login!", &["org", "name"])])]));
    rig.commit(|tx| {
        for _ in 0..2 {
            tx.insert("users", object! {}).unwrap();
            tx.insert("users", object! {"org" => "x"}).unwrap();
        }
        // Null is a value like any other.
        tx.insert("users", object! {"org" => "x", "name" => ()})
            .unwrap();
        tx.insert("users", object! {"org" => "x", "name" => ()})
            .unwrap_err();
    });
}

#[test]
fn writes_are_limited_in_documents_and_bytes() {
    let limits = Limits {
        documents_written_max: 3,
        bytes_written_max: 1 << 20,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(users(), limits);
    rig.attempt(|tx| {
        let id = tx.insert("users", object! {}).unwrap();
        tx.patch(id, set("age", 1)).unwrap();
        tx.delete(id).unwrap();
        assert_eq!(tx.usage().documents_written, 3);
        let bytes = 2 * (2 + 38 + 23) + "age".len() + 1 + 9;
        assert_eq!(
            tx.usage().bytes_written,
            bytes,
            "a deletion writes no bytes"
        );
        assert_eq!(
            text(tx.insert("users", object! {})),
            "Too many writes in a single function execution (limit: 3)"
        );
    });
    rig.attempt(|tx| {
        let half = "x".repeat(1 << 19);
        tx.insert("users", object! {"a" => half.clone()}).unwrap();
        assert_eq!(
            text(tx.insert("users", object! {"a" => half})),
            "Too many bytes written in a single function execution (limit: 1 MiB)"
        );
    });
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

impl User {
    const BY_NAME: Index<User> = Index::new("by_name", &["name"]);
}

impl Table for User {
    const NAME: &'static str = "users";
    const INDEXES: &'static [Index<User>] = &[User::BY_NAME];
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Room {
    owner: DocumentId<User>,
}

impl Table for Room {
    const NAME: &'static str = "rooms";
}

#[test]
fn an_id_of_another_table_is_named_by_every_method() {
    let mut rig = Rig::new(Schema::new().table::<User>().table::<Room>());
    let user = rig.insert("users", object! {"name" => "Ada"});
    let posing: DocumentId<Room> = DocumentId::new(user.table(), user.internal());
    let owner: DocumentId<User> = DocumentId::new(user.table(), user.internal());
    rig.attempt(|tx| with_writer(tx, |db| {
        let texts = [
            text(db.get(posing)),
            text(db.patch(posing, Patch::default().set("owner", "x"))),
            text(db.replace(posing, Room { owner })),
            text(db.delete(posing)),
        ];
        let methods = ["get", "patch", "replace", "delete"];
        let expected = methods.map(|method| {
            format!(
                "Invalid argument `id` for `db.{method}`: expected to be an Id<\"rooms\">, got Id<\"users\"> instead."
            )
        });
        assert_eq!(texts, expected);
    }));
}

#[test]
fn typed_documents_are_written_read_and_queried() {
    let mut rig = Rig::new(Schema::new().table::<User>().table::<Room>());
    rig.commit(|tx| {
        with_writer(tx, |db| {
            let name = |name: &str| User { name: name.into() };
            let ada = db.insert(name("Ada")).unwrap();
            let room = db.insert(Room { owner: ada }).unwrap();
            db.patch(ada, Patch::default().set("name", "Countess"))
                .unwrap();
            assert_eq!(db.get(ada).unwrap().unwrap().value, name("Countess"));
            assert_eq!(db.get(room).unwrap().unwrap().owner, ada);
            let found = db.query::<User>().index(User::BY_NAME, "Countess").unique();
            assert_eq!(found.unwrap().unwrap().id, ada);
            let modified = db.modify(ada, |user| user.name = "Ada".to_owned()).unwrap();
            assert_eq!(modified.unwrap().value, name("Ada"));
            assert_eq!(db.get(ada).unwrap().unwrap().value, name("Ada"));
            db.delete(ada).unwrap();
            assert!(
                db.modify(ada, |_| panic!("there is nothing to change"))
                    .unwrap()
                    .is_none()
            );
        })
    });
}
