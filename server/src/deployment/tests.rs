//! Tests of deployments: a whole push read from its manifest, and what refuses one.

use serde_json::json;

use super::*;

fn module(path: &str) -> Module {
    Module {
        path: path.to_owned(),
        environment: ModuleEnvironment::Isolate,
        hash: modules::module_hash(path, None),
        source: "00".to_owned(),
        source_map: None,
    }
}

fn function(name: &str, kind: FunctionKind) -> AnalyzedFunction {
    AnalyzedFunction {
        name: name.to_owned(),
        kind,
        visibility: Some(Visibility::Public),
        args: Some(r#"{"type":"any"}"#.to_owned()),
        returns: Some("null".to_owned()),
        line: Some(3),
        column: None,
    }
}

fn analysis(functions: Vec<AnalyzedFunction>) -> ModuleAnalysis {
    ModuleAnalysis {
        functions,
        ..ModuleAnalysis::default()
    }
}

fn manifest() -> Manifest {
    let mut http = analysis(Vec::new());
    http.http_routes = Some(vec![("/hook".to_owned(), "POST".to_owned())]);
    let mut crons = analysis(Vec::new());
    let job =
        json!({"nightly": {"name": "rooms:tidy", "args": [{}], "schedule": {"type": "hourly"}}});
    crons.crons = Some(job.to_string());
    let rooms = vec![
        function("list", FunctionKind::Query),
        AnalyzedFunction {
            visibility: None,
            line: Some(1),
            ..function("tidy", FunctionKind::Mutation)
        },
    ];
    Manifest {
        version: MANIFEST_VERSION,
        push_id: "p1".to_owned(),
        functions: "convex/".to_owned(),
        server_version: "1.49.0".to_owned(),
        modules: ["rooms.js", "http.js", "crons.js", "auth.config.js", "_deps/A.js"]
            .map(module)
            .into(),
        analysis: BTreeMap::from([
            ("rooms.js".to_owned(), analysis(rooms)),
            ("http.js".to_owned(), http),
            ("crons.js".to_owned(), crons),
        ]),
        schema: Some(json!({"tables": [{"tableName": "rooms", "indexes": [
            {"indexDescriptor": "by_n", "fields": ["n"]}]}], "schemaValidation": true}).to_string()),
        auth_config: Some(json!({"providers": [
            {"domain": "clerk.example.com", "applicationID": "convex"},
            {"type": "customJwt", "issuer": "https://a.example", "jwks": "https://a.example/k", "algorithm": "ES256"},
        ]}).to_string()),
        ..Manifest::default()
    }
}

fn deployment(manifest: &Manifest) -> Result<Deployment, DeploymentError> {
    Deployment::from_manifest(manifest, Variables::default())
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Manifest), code: &str, text: &str) {
    let mut manifest = manifest();
    change(&mut manifest);
    let error = deployment(&manifest).unwrap_err();
    assert_eq!((error.code(), &*error.to_string()), (code, text));
}

#[test]
fn a_push_is_read_from_its_manifest_and_survives_storage() {
    let stored = serde_json::to_string(&manifest()).unwrap();
    let manifest: Manifest = serde_json::from_str(&stored).unwrap();
    assert_eq!(manifest, self::manifest());
    let deployment = deployment(&manifest).unwrap();
    let tidy = deployment.function(&"rooms:tidy".parse().unwrap()).unwrap();
    assert_eq!(
        (tidy.kind, tidy.visibility),
        (FunctionKind::Mutation, Visibility::Internal)
    );
    assert_eq!(deployment.crons[0].name, "nightly");
    assert_eq!(deployment.auth.as_ref().unwrap().providers().len(), 2);
    assert_eq!(
        deployment.auth_json()[0]["domain"],
        "https://clerk.example.com"
    );
    assert!(
        deployment.auth_json()[1]
            .as_object()
            .unwrap()
            .contains_key("applicationID")
    );
    let specs = deployment.function_specs();
    let names: Vec<&Json> = specs.iter().map(|spec| &spec["identifier"]).collect();
    assert_eq!(
        names,
        [
            &json!("rooms.js:tidy"),
            &json!("rooms.js:list"),
            &Json::Null
        ]
    );
    assert_eq!(
        specs[2],
        json!({"functionType": "HttpAction", "method": "POST", "path": "/hook"})
    );
}

#[test]
fn what_cannot_be_deployed_is_refused_with_its_code() {
    let rooms = |manifest: &mut Manifest, change: fn(&mut AnalyzedFunction)| {
        let rooms = manifest.analysis.get_mut("rooms.js").unwrap();
        change(&mut rooms.functions[0]);
    };
    refused(
        |manifest| manifest.modules.push(module("_system/x.js")),
        "BadConvexModuleIdentifier",
        "_system/x.js is not a valid path to a Convex module: `_system` is reserved",
    );
    refused(
        |manifest| rooms(manifest, |list| list.args = Some("{".to_owned())),
        "InvalidModules",
        "Invalid JSON returned from rooms.js:list.exportArgs(): EOF while parsing an object at line 1 column 1",
    );
    refused(
        |manifest| {
            rooms(manifest, |list| {
                list.args = Some(r#"{"type":"string"}"#.to_owned())
            })
        },
        "InvalidModules",
        "Invalid validator returned from rooms.js:list.exportArgs(): Args validator must be an object or any",
    );
    refused(
        |manifest| {
            manifest.analysis.get_mut("rooms.js").unwrap().functions[1].name = "swept".into()
        },
        "InvalidCron",
        "The cron job \"nightly\" schedules a function that does not exist: rooms.js:tidy",
    );
    refused(
        |manifest| {
            manifest.analysis.get_mut("rooms.js").unwrap().functions[1].kind = FunctionKind::Query
        },
        "InvalidCron",
        "The cron job \"nightly\" schedules rooms.js:tidy, which is a Query. Only a Mutation or an Action can be scheduled.",
    );
    refused(
        |manifest| manifest.modules[0].environment = ModuleEnvironment::Node,
        "InvalidModules",
        "rooms.js:list is a Query in a module with \"use node\". Only actions can be defined in Node.js.",
    );
    refused(
        |manifest| manifest.schema = Some(r#"{"tables":[{"tableName":"_x"}]}"#.to_owned()),
        "InvalidSchema",
        "Hit an error while evaluating your schema:\nInvalid table name _x starts with metadata prefix '_'",
    );
    let child = json!({"definitionType": {"type": "app"}, "childComponents": [{"name": "a kid"}]});
    refused(
        |manifest| manifest.definition = Some(child.to_string()),
        "InvalidDefinition",
        "A component cannot have the name \"a kid\": Identifier a kid has invalid character ' ': identifiers start with a letter or underscore and go on with letters, digits and underscores",
    );
}

#[test]
fn declared_variables_must_be_set_unless_optional() {
    let declared = json!({"definitionType": {"type": "app"}, "envVars": [
        ["A", {"type": "value", "value": "{\"type\":\"string\"}"}],
        ["B", {"type": "value", "value": "{\"type\":\"string\"}", "optional": true}],
    ]});
    let definition = AppDefinition::from_text(&declared.to_string()).unwrap();
    assert_eq!(definition.missing(&Variables::default()), ["A"]);
    let set = Variables::from_iter([("A".to_owned(), String::new())]);
    assert!(definition.missing(&set).is_empty());
    assert_eq!(definition.to_reply()["path"], "");
}

#[test]
fn the_difference_of_two_pushes_names_what_changed() {
    let before = deployment(&manifest()).unwrap();
    let mut next = manifest();
    next.modules[0].hash = "other".to_owned();
    next.modules.pop();
    next.auth_config = None;
    next.analysis.remove("crons.js");
    next.schema = Some(
        json!({"tables": [{"tableName": "rooms",
        "stagedDbIndexes": [{"indexDescriptor": "by_n", "fields": ["n"]}],
        "indexes": [{"indexDescriptor": "by_m", "fields": ["m"]}]}]})
        .to_string(),
    );
    let after = deployment(&next).unwrap();
    let reply = diff::to_reply(&before, &after, &Default::default());
    let root = &reply["componentDiffs"][""];
    assert_eq!(
        root["moduleDiff"],
        json!({"added": ["rooms.js"], "removed": ["_deps/A.js", "rooms.js"]})
    );
    assert_eq!(
        root["cronDiff"],
        json!({"added": [], "updated": [], "deleted": ["nightly"]})
    );
    assert_eq!(root["indexDiff"]["added_indexes"][0]["name"], "rooms.by_m");
    assert_eq!(
        root["indexDiff"]["disabled_indexes"][0]["name"],
        "rooms.by_n"
    );
    assert_eq!(reply["authDiff"]["removed"].as_array().unwrap().len(), 2);
    let first = diff::to_reply(
        &Deployment::new(Variables::default()),
        &after,
        &Default::default(),
    );
    assert_eq!(first["componentDiffs"][""]["diffType"]["type"], "create");
    assert!(IndexDiff::between(after.schema.as_ref(), after.schema.as_ref()).is_empty());
}

/// An app that mounts `kid`, which mounts `sub`; `env` is what kid is given, and sub gets kid's LABEL as its TEXT.
fn with_components(name: &str, env: Json) -> Manifest {
    let declared = |name: &str, optional| {
        let value = json!({"type": "string"}).to_string();
        json!([name, {"value": value, "optional": optional}])
    };
    let app = json!({
        "definitionType": {"type": "app"},
        "envVars": [declared("GREETING", true)],
        "childComponents": [{"name": name, "path": "kid", "env": [["LABEL", env]]}],
    });
    let kid = json!({
        "definitionType": {"type": "childComponent", "name": "kid"},
        "envVars": [declared("LABEL", false)],
        "childComponents": [{"name": "sub", "path": "sub", "env": [
            ["TEXT", {"type": "envVar", "name": "LABEL"}],
        ]}],
    });
    let sub = json!({"definitionType": {"type": "childComponent", "name": "sub"}});
    let component = |path: &str, definition: Json| ComponentManifest {
        path: path.to_owned(),
        definition: definition.to_string(),
        modules: vec![module("lib.js")],
        ..ComponentManifest::default()
    };
    Manifest {
        definition: Some(app.to_string()),
        components: vec![component("kid", kid), component("sub", sub)],
        ..manifest()
    }
}

fn text(value: &str) -> Json {
    json!({"type": "value", "value": value})
}

#[test]
fn a_push_of_a_server_that_stored_no_components_is_read_without_them() {
    let mut old = with_components("_kid", text("a"));
    old.components.clear();
    assert!(deployment(&old).is_err());
    old.version = 1;
    let read = deployment(&old).unwrap();
    assert!(read.components.is_empty() && !read.functions.is_empty());
}

#[test]
fn components_take_no_names_of_the_server() {
    assert!(deployment(&with_components("kid", text("a"))).is_ok());
    let refused = deployment(&with_components("_kid", text("a"))).unwrap_err();
    assert!(
        matches!(refused, DeploymentError::ComponentName { .. }),
        "{refused}"
    );
}

#[test]
fn variables_of_components_are_known_before_they_are_set_and_down_the_tree() {
    let kid: ComponentPath = "kid".parse().unwrap();
    let sub = kid.child("sub").unwrap();
    let bound = json!({"type": "envVar", "name": "GREETING"});
    let unset = deployment(&with_components("kid", bound)).unwrap();
    let nothing_yet = Given {
        value: None,
        variable: Some("GREETING".to_owned()),
    };
    assert_eq!(unset.variables_of(&kid)["LABEL"], nothing_yet);
    assert_eq!(unset.variables_of(&sub)["TEXT"], nothing_yet);
    let missing = unset.missing_variables(&unset.variables);
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["LABEL of kid"]);

    let hash = |value| {
        let pushed = deployment(&with_components("kid", text(value))).unwrap();
        assert_eq!(
            pushed.variables_of(&sub)["TEXT"].value.as_deref(),
            Some(value)
        );
        pushed.keyed_modules()["kid/sub:lib.js"].hash.clone()
    };
    assert_eq!(hash("a"), hash("a"));
    assert_ne!(hash("a"), hash("b"));
}
