//! The facts a function learns of its caller, its transaction and its deployment.

use vestibule_schema::identity::Identity;

use super::*;

#[test]
fn functions_learn_their_name_deployment_and_request() {
    let mut world = World::new(0);
    world.check(&[
        (
            "getFunctionMetadata",
            "{}",
            r#"{"componentPath":"","name":"dir/rooms:list"}"#,
        ),
        (
            "getDeploymentMetadata",
            "{}",
            r#"{"class":"s16","name":"happy-animal-123","region":null}"#,
        ),
        (
            "getRequestMetadata",
            "{}",
            r#"{"authToken":null,"ip":null,"requestId":"3f0c9a1b22d4e6f7","scheduledFunctionId":null,"userAgent":null}"#,
        ),
    ]);
    world.check_in_query(&[(
        "getRequestMetadata",
        "{}",
        "! Cannot get request metadata in a Query",
    )]);
}

#[test]
fn looking_at_the_caller_is_remembered() {
    let world = World::new(0);
    let claims = object! { "email" => "ada@example.com", "roles" => vec![Value::from("editor")] };
    let ada = Identity::new("https://issuer.example", "ada", claims);
    let (seen, _) = world.query_as(Caller::admin_acting_as(ada), |function| {
        assert!(function.0.state.observed.claims_read().is_none());
        let seen = function.call("getUserIdentity", "{}");
        assert!(function.0.state.observed.claims_read().is_some());
        seen
    });
    assert_eq!(
        seen,
        r#"{"email":"ada@example.com","issuer":"https://issuer.example","roles":["editor"],"subject":"ada","tokenIdentifier":"https://issuer.example|ada"}"#
    );
    let (nobody, _) = world.query(|function| {
        let nobody = function.call("getUserIdentity", "{}");
        assert!(function.0.state.observed.claims_read().is_some());
        nobody
    });
    assert_eq!(nobody, "null");
}

#[test]
fn an_identity_that_must_not_be_seen_ends_the_function() {
    let world = World::new(0);
    let (refused, _) = world.query_as(Caller::unidentified(), |function| {
        let refused = function.try_call("getUserIdentity", "{}").unwrap_err();
        assert!(function.0.state.observed.suspended);
        refused
    });
    assert_eq!(refused.kind, ErrorKind::Suspended);
    assert!(!refused.kind.is_catchable());
}

#[test]
fn the_snapshot_is_told_in_nanoseconds_and_counts_as_looking_at_the_time() {
    let world = World::new(1);
    let ((ts, seen), _) = world.query(|function| {
        assert!(!function.0.state.observed.time);
        let seen = function.call("getSnapshotTs", "{}");
        assert!(function.0.state.observed.time);
        (function.0.tx.snapshot_ts().0 as i64, seen)
    });
    assert_eq!(seen, Value::Int64(ts).to_json().to_string());
}

#[test]
fn metrics_tell_what_was_used_and_what_is_left() {
    let mut world = World::new(2);
    let id = world.id("$ROOM0");
    world.mutation(|function| {
        function.json("get", &format!(r#"{{"id":"{id}"}}"#));
        function.json("get", &format!(r#"{{"id":"{id}"}}"#));
        function.json("insert", r#"{"table":"rooms","value":{}}"#);
        function.json("schedule", r#"{"name":"a:b","ts":1,"args":{}}"#);
        let metrics = function.json("getTransactionMetrics", "{}");
        let metric = |name: &str| {
            let metric = &metrics[name];
            (
                metric["used"].as_i64().unwrap(),
                metric["remaining"].as_i64().unwrap(),
            )
        };
        assert_eq!(metrics.as_object().unwrap().len(), 11);
        assert_eq!(metric("documentsRead"), (2, 31_998));
        assert_eq!(metric("databaseQueries"), (1, 4_095));
        assert_eq!(metric("documentsWritten"), (1, 15_999));
        assert_eq!(metric("functionsScheduled"), (1, 999));
        assert_eq!(metric("scheduledFunctionArgsBytes"), (2, (16 << 20) - 2));
        assert_eq!(metric("filesWritten").0, 0);
        let (used, left) = metric("bytesRead");
        assert!(used > 0 && used + left == 16 << 20);
    });
}

#[test]
fn a_nested_call_may_have_less_to_use() {
    let mut world = World::new(2);
    let ids = [world.id("$ROOM0"), world.id("$ROOM1")];
    world.mutation(|function| {
        let get = |function: &mut Function<'_, '_>, at: usize| {
            function.call("get", &format!(r#"{{"id":"{}"}}"#, ids[at]))
        };
        assert!(get(function, 0).starts_with('{'));
        let tx = &mut *function.0.tx;
        let budget = serde_json::from_str(r#"{"documentsRead":1,"bytesRead":1e12}"#).unwrap();
        let ranges = tx.ranges_read();
        let lowered = tx.limits().lowered(&budget, &tx.usage(), ranges);
        assert_eq!(lowered.bytes_read_max, tx.limits().bytes_read_max);
        let before = tx.set_limits(lowered);
        assert!(get(function, 1).starts_with('{'));
        assert!(get(function, 1).starts_with("! Too many documents read"));
        function.0.tx.set_limits(before);
        assert!(get(function, 1).starts_with('{'));
    });
}
