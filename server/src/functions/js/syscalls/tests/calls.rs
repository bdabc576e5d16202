//! Operations that other rooms do: the requests that reach them, and the answers that come back.

use super::*;
use crate::database::Budget;
use crate::functions::handles::{HandleKey, keyless_id};

fn told<R>(world: &mut World, body: impl FnOnce(&mut Function<'_, '_>) -> R) -> (R, Told) {
    let mut told = Told::default();
    let returned = world.rig.attempt(|tx| {
        let state = &mut state(FunctionKind::Mutation, Caller::nobody());
        let hooks = &mut told;
        body(&mut Function(Syscalls { tx, state, hooks }))
    });
    (returned, told)
}

const APP: Scope<'_> = Scope {
    component: &ComponentPath::ROOT,
    registry: None,
};

#[test]
fn nested_calls_arrive_read() {
    let mut world = World::new(0);
    let handle = handle_of(&"dir/rooms:add".parse().unwrap(), APP);
    let (answers, told) = told(&mut world, |function| {
        [
            r#"{"udfType":"query","name":"dir/rooms:list","args":{"n":{"$integer":"AQAAAAAAAAA="}}}"#.to_string(),
            format!(r#"{{"udfType":"mutation","functionHandle":"{handle}","args":{{}}}}"#),
            r#"{"udfType":"snapshotQuery","name":"rooms","args":{},"transactionLimits":{"documentsRead":5}}"#
                .to_string(),
        ]
        .map(|args| function.call("runUdf", &args))
    });
    assert!(
        answers
            .iter()
            .all(|answer| answer == r#"{"$integer":"BwAAAAAAAAA="}"#)
    );
    let call = |kind, path: &str, args, budget| NestedCall {
        kind,
        path: path.parse().unwrap(),
        args,
        places: Default::default(),
        budget,
    };
    let budget = Budget {
        documents_read: Some(5.0),
        ..Budget::default()
    };
    assert_eq!(
        told.calls,
        [
            call(
                NestedKind::Query,
                "dir/rooms:list",
                object! { "n" => 1i64 },
                None
            ),
            call(NestedKind::Mutation, "dir/rooms:add", object! {}, None),
            call(
                NestedKind::SnapshotQuery,
                "rooms:default",
                object! {},
                Some(budget)
            ),
        ]
    );
}

#[test]
fn calls_that_cannot_be_made_are_refused() {
    let mut world = World::new(0);
    world.check(&[
        (
            "runUdf",
            r#"{"udfType":"query","args":{}}"#,
            "! Invalid arguments for `runUdf`: Missing required argument 'name'",
        ),
        (
            "runUdf",
            r#"{"udfType":"action","name":"a:b","args":{}}"#,
            "! Invalid argument `udfType` for `runUdf`: unknown function type \"action\"",
        ),
        (
            "runUdf",
            r#"{"udfType":"query","name":"a:b","args":[]}"#,
            "! Invalid argument `args` for `runUdf`: Value must be an Object",
        ),
        (
            "runUdf",
            r#"{"udfType":"query","functionHandle":"function://x","args":{}}"#,
            "! Invalid function handle function://x",
        ),
        (
            "runUdf",
            r#"{"udfType":"query","reference":"_reference/childComponent/x","args":{}}"#,
            "! \"_reference/childComponent/x\" names nothing that can be called.",
        ),
    ]);
    world.check_in_query(&[(
        "runUdf",
        r#"{"udfType":"mutation","name":"a:b","args":{}}"#,
        "! Cannot call a Mutation function from a Query function",
    )]);
}

#[test]
fn what_is_scheduled_counts_and_is_bounded() {
    let limits = Limits {
        functions_scheduled_max: 1,
        ..Limits::default()
    };
    let mut world = World::with_limits(0, limits);
    let (answers, told) = told(&mut world, |function| {
        let schedule = r#"{"name":"a:b","ts":1700000000.5,"args":{"x":1},"version":"1.49.0"}"#;
        [
            function.call("schedule", schedule),
            function.call("schedule", schedule),
        ]
    });
    assert_eq!(answers[0], r#""0400000000000000000000000000248""#);
    assert_eq!(
        answers[1],
        "! Too many functions scheduled by this mutation (limit: 1)"
    );
    assert_eq!(
        told.scheduled,
        [ScheduledCall {
            path: "a:b".parse().unwrap(),
            at_seconds: 1_700_000_000.5,
            args: vec![Value::from(object! { "x" => 1.0 })],
        }]
    );
    let limits = Limits {
        scheduled_args_bytes_max: 10,
        ..Limits::default()
    };
    World::with_limits(0, limits).check(&[(
        "schedule",
        r#"{"name":"a:b","ts":1,"args":["0123456789"]}"#,
        "! Too large total size of the arguments of scheduled functions from this mutation (limit: 10 bytes)",
    )]);
    World::new(1).check(&[(
        "cancel_job",
        r#"{"id":"$ROOM0"}"#,
        "! Invalid scheduled function ID. The ID must be an ID on the '_scheduled_functions' table.",
    )]);
}

#[test]
fn components_use_the_handles_that_the_server_made_alone() {
    let path: FunctionPath = "users:deleteAll".parse().unwrap();
    let kid: ComponentPath = "kid".parse().unwrap();
    let component = Scope {
        component: &kid,
        ..APP
    };
    let made = handle_of(&path, APP);
    assert_eq!(function_of_handle(&made, component), Some(path.clone()));
    let forged = format!("function://{}#{path}", keyless_id(&path));
    assert_eq!(function_of_handle(&forged, component), None);
    assert_eq!(function_of_handle(&forged, APP), Some(path.clone()));
    let other = path.in_component("other".parse().unwrap());
    let forged = format!("function://{}#{other}", keyless_id(&other));
    assert_eq!(function_of_handle(&forged, APP), None);
    let other_key = Registry::default().with_handle_key(HandleKey::new([1; 32]));
    let elsewhere = Scope {
        registry: Some(&other_key),
        ..component
    };
    assert_eq!(function_of_handle(&made, elsewhere), None);
}

#[test]
fn function_handles_are_stable_and_lead_back() {
    let path: FunctionPath = "dir/rooms:list".parse().unwrap();
    let handle = handle_of(&path, APP);
    assert!(handle.starts_with("function://") && handle.ends_with("#dir/rooms:list"));
    assert_eq!(function_of_handle(&handle, APP), Some(path));
    let registry = &Registry::default();
    let registered = Scope {
        registry: Some(registry),
        ..APP
    };
    for bad in [
        "",
        "function://",
        "function://00#dir/rooms:list",
        "dir/rooms:list",
    ] {
        assert_eq!(function_of_handle(bad, APP), None);
        assert_eq!(function_of_handle(bad, registered), None);
    }
    let quoted = format!("\"{handle}\"");
    World::new(0).check(&[
        (
            "createFunctionHandle",
            r#"{"name":"dir/rooms.js:list"}"#,
            &quoted,
        ),
        (
            "createFunctionHandle",
            &format!(r#"{{"functionHandle":"{handle}"}}"#),
            &quoted,
        ),
    ]);
}

#[test]
fn files_are_named_by_document_or_uuid() {
    let uuid = "0190b2a4-7f3c-7d10-8000-00805f9b34fb";
    let by_uuid = format!(r#"{{"storageId":"{uuid}"}}"#);
    let metadata = format!(
        r#"{{"contentType":null,"sha256":"{}","size":12,"storageId":"{uuid}"}}"#,
        "ab".repeat(32)
    );
    World::new(1).check(&[
        ("storageGetUrl", &by_uuid, r#""https://x.example/api/storage/1""#),
        ("storageGetMetadata", &by_uuid, &metadata),
        ("storageDelete", &by_uuid, "null"),
        ("storageGenerateUploadUrl", "{}", r#""https://x.example/upload?token=t""#),
        ("storageGet", &by_uuid, r#"{"blob":"aGk=","contentType":"text/plain"}"#),
        (
            "storageGetUrl",
            r#"{"storageId":"$ROOM0"}"#,
            "! Invalid argument `storageId` for `storage.getUrl`: Invalid storage ID. Storage ID cannot be an ID on any \
             table other than '_storage'.",
        ),
        (
            "storageDelete",
            r#"{"storageId":"x"}"#,
            "! Invalid argument `storageId` for `storage.delete`: Invalid storage ID: \"x\". Storage ID should be an Id \
             of '_storage' table, or a UUID string.",
        ),
        (
            "storageStore",
            r#"{"blob":"?"}"#,
            "! Invalid argument `blob` for `storage.store`: expected base64",
        ),
    ]);
}

#[test]
fn files_and_tokens_arrive_read() {
    let mut world = World::new(0);
    let ((), told) = told(&mut world, |function| {
        let hash = data_encoding::BASE64.encode(&[9; 32]);
        let store = format!(r#"{{"blob":"aGk=","contentType":"","sha256":"{hash}"}}"#);
        function.json("storageStore", &store);
        assert_eq!(function.0.tx.usage().files_written, 1);
        assert_eq!(function.0.tx.usage().file_bytes_written, 2);
        let sign = r#"{"claims":{"role":"x"},"expiresInSeconds":60}"#;
        assert_eq!(function.call("signJwt", sign), r#""a.b.c""#);
    });
    assert_eq!(
        told.stored,
        [FileToStore {
            bytes: b"hi".to_vec(),
            content_type: None,
            sha256: Some([9; 32]),
        }]
    );
    assert_eq!(told.tokens[0].claims["role"], "x");
    assert_eq!(told.tokens[0].expires_in_seconds, 60.0);
}
