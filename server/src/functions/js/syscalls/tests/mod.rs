//! Each operation with its inputs, as tables of its answers, over a real store.

mod calls;
mod documents;
mod metadata;
mod pages;
mod queries;

use std::sync::Arc;

use vestibule_schema::id::DocumentId;
use vestibule_schema::object;
use vestibule_schema::table::{IndexDefinition, IndexMethod, TableDefinition};
use vestibule_schema::validator::{Field, Validator};
use vestibule_schema::value::Value;

use super::*;
use crate::database::tests::{Rig, schema, table};
use crate::database::{Limits, ReadSet};
use crate::functions::RequestName;

/// A database with a few rooms and a user, and the ids of both.
struct World {
    rig: Rig,
    /// The ids that `$ROOM0`, `$USER` and so on stand for in cases.
    names: Vec<(String, String)>,
}

fn definitions() -> [TableDefinition; 3] {
    let users = Validator::object([
        ("name", Field::required(Validator::String)),
        ("room", Field::optional(Validator::id("rooms"))),
    ]);
    [
        table("rooms", &[("by_n", &["n"]), ("by_ab", &["a", "b.c"])]),
        TableDefinition {
            document: users,
            ..table("users", &[])
        },
        TableDefinition {
            indexes: vec![IndexDefinition {
                method: IndexMethod::Search,
                ..IndexDefinition::new("by_text", &["text", "owner"], false).unwrap()
            }],
            ..table("notes", &[])
        },
    ]
}

impl World {
    /// Rooms with `n` from 0 on.
    fn new(rooms: usize) -> World {
        World::with_limits(rooms, Limits::default())
    }

    fn with_limits(rooms: usize, limits: Limits) -> World {
        let mut rig = Rig::with_limits(schema(definitions()), limits);
        let mut names = Vec::new();
        for n in 0..rooms {
            let id = rig.insert("rooms", object! { "n" => n as f64 });
            names.push((format!("$ROOM{n}"), id.to_string()));
        }
        let id = rig.insert("users", object! { "name" => "Ada" });
        names.push(("$USER".to_string(), id.to_string()));
        let nowhere = vestibule_schema::id::TableNumber::new(20_000).unwrap();
        let nowhere: DocumentId = DocumentId::new(nowhere, id.internal());
        names.push(("$NOWHERE".to_string(), nowhere.to_string()));
        let missing = vestibule_schema::id::InternalId([7; 16]);
        let missing: DocumentId = DocumentId::new(id.table(), missing);
        names.push(("$MISSING".to_string(), missing.to_string()));
        World { rig, names }
    }

    fn id(&self, name: &str) -> String {
        let found = self.names.iter().find(|(known, _)| known == name);
        found.unwrap().1.clone()
    }

    fn filled_in(&self, text: &str) -> String {
        let fill = |text: String, (name, id): &(String, String)| text.replace(name, id);
        self.names.iter().fold(text.to_string(), fill)
    }

    /// Runs each operation in a mutation of its own that is thrown away, and compares its answer. A text that begins
    /// with `! ` is an error's.
    fn check(&mut self, cases: &[(&str, &str, &str)]) {
        for (op, args, expected) in cases {
            let args = self.filled_in(args);
            let answer = self.mutation(|function| function.call(op, &args));
            same(&answer, &self.filled_in(expected), &format!("{op} {args}"));
        }
    }

    /// As [`Self::check`], in a query.
    fn check_in_query(&self, cases: &[(&str, &str, &str)]) {
        for (op, args, expected) in cases {
            let args = self.filled_in(args);
            let (answer, _) = self.query(|function| function.call(op, &args));
            same(&answer, &self.filled_in(expected), &format!("{op} {args}"));
        }
    }

    fn mutation<R>(&mut self, body: impl FnOnce(&mut Function<'_, '_>) -> R) -> R {
        self.rig.attempt(|tx| {
            let state = &mut state(FunctionKind::Mutation, Caller::nobody());
            let hooks = &mut Told::default();
            body(&mut Function(Syscalls { tx, state, hooks }))
        })
    }

    fn query<R>(&self, body: impl FnOnce(&mut Function<'_, '_>) -> R) -> (R, ReadSet) {
        self.query_as(Caller::nobody(), body)
    }

    fn query_as<R>(
        &self,
        caller: Caller,
        body: impl FnOnce(&mut Function<'_, '_>) -> R,
    ) -> (R, ReadSet) {
        self.rig.query(|tx| {
            let state = &mut state(FunctionKind::Query, caller);
            let hooks = &mut Told::default();
            body(&mut Function(Syscalls { tx, state, hooks }))
        })
    }
}

fn state(kind: FunctionKind, caller: Caller) -> FunctionState {
    let request = RequestMetadata {
        request_id: RequestName::Given("3f0c9a1b22d4e6f7".to_string()),
        ..RequestMetadata::default()
    };
    let deployment = DeploymentMetadata {
        name: "happy-animal-123".to_string(),
        class: "s16",
    };
    let path = "dir/rooms:list".parse().unwrap();
    FunctionState::new(kind, path, caller, Arc::new(request), Arc::new(deployment))
}

/// A function that runs.
struct Function<'s, 'v>(Syscalls<'s, 'v>);

impl Function<'_, '_> {
    /// The answer of an operation, or its error's text behind `! `.
    fn call(&mut self, op: &str, args: &str) -> String {
        self.try_call(op, args)
            .unwrap_or_else(|error| format!("! {error}"))
    }

    fn try_call(&mut self, op: &str, args: &str) -> Result<String, SyscallError> {
        const SYNC: [&str; 5] = [
            "queryStream",
            "queryCleanup",
            "db/normalizeId",
            "getSnapshotTs",
            "componentArgument",
        ];
        let name = format!("1.0/{op}");
        match SYNC.contains(&op) {
            true => self.0.sync_syscall(&name, args),
            false => self.0.async_syscall(&name, args),
        }
    }

    fn json(&mut self, op: &str, args: &str) -> serde_json::Value {
        let answer = self
            .try_call(op, args)
            .unwrap_or_else(|error| panic!("{op}: {error}"));
        serde_json::from_str(&answer).unwrap()
    }
}

/// Hooks that remember what they were asked and give the same answers always.
#[derive(Default)]
struct Told {
    calls: Vec<NestedCall>,
    scheduled: Vec<ScheduledCall>,
    files: Vec<StorageId>,
    stored: Vec<FileToStore>,
    tokens: Vec<TokenToSign>,
    warnings: Vec<String>,
}

impl Hooks for Told {
    fn run_nested(
        &mut self,
        _tx: &mut Transaction<'_>,
        _observed: &mut Observed,
        call: NestedCall,
    ) -> Result<Value, SyscallError> {
        self.calls.push(call);
        Ok(Value::Int64(7))
    }

    fn schedule(
        &mut self,
        tx: &mut Transaction<'_>,
        call: ScheduledCall,
    ) -> Result<DocumentId, SyscallError> {
        tx.count_scheduled(call.args.iter().map(Value::size).sum())?;
        self.scheduled.push(call);
        Ok("0400000000000000000000000000248".parse().unwrap())
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    fn cancel_job(&mut self, _: &mut Transaction<'_>, _: DocumentId) -> Result<(), SyscallError> {
        Ok(())
    }

    fn file_url(
        &mut self,
        _tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> Result<Option<String>, SyscallError> {
        self.files.push(id);
        Ok(Some("https://x.example/api/storage/1".to_string()))
    }

    fn file_metadata(
        &mut self,
        _tx: &mut Transaction<'_>,
        id: StorageId,
    ) -> Result<Option<FileMetadata>, SyscallError> {
        let StorageId::Uuid(uuid) = id else {
            return Ok(None);
        };
        Ok(Some(FileMetadata {
            uuid,
            sha256: [0xab; 32],
            bytes: 12,
            content_type: None,
        }))
    }

    fn upload_url(&mut self, _: &mut Transaction<'_>) -> Result<String, SyscallError> {
        Ok("https://x.example/upload?token=t".to_string())
    }

    fn delete_file(&mut self, _: &mut Transaction<'_>, id: StorageId) -> Result<(), SyscallError> {
        self.files.push(id);
        Ok(())
    }

    fn store_file(
        &mut self,
        tx: &mut Transaction<'_>,
        file: FileToStore,
    ) -> Result<DocumentId, SyscallError> {
        tx.count_file_written(file.bytes.len())?;
        self.stored.push(file);
        Ok("0400000000000000000000000000248".parse().unwrap())
    }

    fn file(
        &mut self,
        _tx: &mut Transaction<'_>,
        _id: StorageId,
    ) -> Result<Option<StoredFile>, SyscallError> {
        Ok(Some(StoredFile {
            bytes: b"hi".to_vec(),
            content_type: Some("text/plain".to_string()),
        }))
    }

    fn sign_token(
        &mut self,
        _tx: &mut Transaction<'_>,
        token: TokenToSign,
    ) -> Result<String, SyscallError> {
        self.tokens.push(token);
        Ok("a.b.c".to_string())
    }
}

#[test]
fn unknown_operations_and_bad_json_are_named() {
    let mut world = World::new(0);
    world.check(&[
        ("x", "{}", "! Unknown async operation 1.0/x"),
        (
            "actions/query",
            "{}",
            "! Unknown async operation 1.0/actions/query",
        ),
        (
            "componentArgument",
            r#"{"name":"x"}"#,
            "! Component arguments are not available within the app",
        ),
        (
            "get",
            "[]",
            "! Invalid arguments for `db.get`: expected an object",
        ),
        (
            "get",
            "{}",
            "! Invalid arguments for `db.get`: Missing required argument 'id'",
        ),
        (
            "get",
            r#"{"id":5}"#,
            "! Invalid argument `id` for `db.get`: expected a string, got 5",
        ),
        ("auditLog", r#"{"body":{}}"#, "null"),
    ]);
    world.mutation(|function| {
        let unknown = function.0.sync_syscall("1.0/get", "{}").unwrap_err();
        assert_eq!(unknown.to_string(), "Unknown operation 1.0/get");
        assert!(unknown.kind.is_catchable());
        let garbled = function.try_call("get", "{").unwrap_err().to_string();
        assert!(garbled.starts_with("Received invalid json: "), "{garbled}");
    });
}

/// Compares answers as JSON: the order of an object's fields says nothing. Errors are compared as texts.
fn same(answer: &str, expected: &str, what: &str) {
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    match (parse(answer), parse(expected)) {
        (Some(answer), Some(expected)) => assert_eq!(answer, expected, "{what}"),
        _ => assert_eq!(answer, expected, "{what}"),
    }
}
