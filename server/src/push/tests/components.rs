//! Tests of components that come with a push.

use serde_json::{Value as Json, json};
use vestibule_schema::object;
use vestibule_schema::path::ComponentPath;

use super::rig::{Rig, app, rooms};
use super::system::look;
use crate::push::PushError;

/// A component called `name` at `path` with one public and one internal query, which uses `children`.
fn component(path: &str, name: &str, children: &[(&str, &str)]) -> Json {
    let functions = json!({"functions": [
        {"name": "ask", "kind": "Query", "visibility": "public"},
        {"name": "hidden", "kind": "Query", "visibility": "internal"},
    ]});
    let definition = definition(json!({"type": "childComponent", "name": name}), children);
    json!({
        "definitionPath": path,
        "definition": {"path": "convex.config.js", "source": definition},
        "dependencies": children.iter().map(|(_, path)| path).collect::<Vec<_>>(),
        "functions": [{"path": "deep/lib.js", "source": functions.to_string()}],
    })
}

fn definition(kind: Json, children: &[(&str, &str)]) -> String {
    let children = children
        .iter()
        .map(|(name, path)| json!({"name": name, "path": path}));
    let children: Vec<Json> = children.collect();
    json!({"definitionType": kind, "childComponents": children}).to_string()
}

/// An app that uses `children`, with the components that are sent beside it.
fn with_components(children: &[(&str, &str)], components: &[Json]) -> Json {
    let mut body = app("list", None);
    let definition = definition(json!({"type": "app"}), children);
    body["appDefinition"]["definition"] = json!({"path": "convex.config.js", "source": definition});
    body["appDefinition"]["dependencies"] =
        children.iter().map(|(_, path)| *path).collect::<Json>();
    body["componentDefinitions"] = json!(components);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_taken_in_any_order_and_shown_to_tools() {
    let rig = Rig::new().await;
    let upper = component("../up", "up", &[("below", "../low")]);
    let lower = component("../low", "low", &[]);
    let body = with_components(&[("first", "../up"), ("second", "../low")], &[upper, lower]);
    let started = rig.start(body).await.unwrap();
    let shown = &started["analysis"]["../up"];
    assert_eq!(shown["definition"]["path"], "../up");
    let deep = &shown["definition"]["exports"]["branch"][0];
    let lib = json!(["lib", {"type": "branch", "branch": [
        ["ask", {"type": "leaf", "leaf": "_reference/function/deep/lib:ask"}],
    ]}]);
    assert_eq!(*deep, json!(["deep", {"type": "branch", "branch": [lib]}]));
    assert_eq!(
        shown["functions"]["deep/lib.js"]["functions"][1]["name"],
        "hidden"
    );
    let below = &started["app"]["childComponents"]["first"]["childComponents"]["below"];
    assert_eq!(
        (&below["definitionPath"], &below["componentPath"]),
        (&json!("../low"), &json!("first/below"))
    );
    rig.prepare(&started).await;
    rig.finish(started).await.unwrap();
    let children = rig.pushes.live().definition.children();
    assert_eq!(children[0].name, "first");
    let rig = rig.restart().await;
    assert_eq!(rig.pushes.live().definition.children(), children);
    let logged = rig.functions.log().after(0, 0);
    assert_eq!(logged.entries, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn components_that_cannot_be_are_refused() {
    let code = |refused: Result<Json, PushError>| refused.unwrap_err().code();
    let rig = Rig::new().await;
    let around = with_components(
        &[("a", "a")],
        &[
            component("a", "a", &[("b", "b")]),
            component("b", "b", &[("a", "a")]),
        ],
    );
    assert_eq!(code(rig.start(around).await), "InvalidDefinition");
    let missing = with_components(&[("a", "a")], &[]);
    assert_eq!(code(rig.start(missing).await), "InvalidDefinition");
    let twice = with_components(&[], &[component("a", "a", &[]), component("a", "a", &[])]);
    assert_eq!(code(rig.start(twice).await), "InvalidDefinition");
    let kid = component("a", "a", &[]);
    let same = with_components(&[("one", "a"), ("one", "a")], std::slice::from_ref(&kid));
    assert_eq!(code(rig.start(same).await), "InvalidDefinition");
    let nameless = with_components(&[("not a name", "a")], std::slice::from_ref(&kid));
    assert_eq!(code(rig.start(nameless).await), "InvalidDefinition");
    let mut node = kid.clone();
    node["functions"][0]["environment"] = json!("node");
    let node = with_components(&[("one", "a")], &[node]);
    assert_eq!(code(rig.start(node).await), "NodeActionsNotSupported");
    let mut app_inside = kid.clone();
    app_inside["definition"]["source"] = json!(definition(json!({"type": "app"}), &[]));
    let app_inside = with_components(&[("one", "a")], &[app_inside]);
    assert_eq!(code(rig.start(app_inside).await), "InvalidDefinition");
    let mut broken = kid;
    broken["functions"][0]["source"] = json!("{");
    let broken = with_components(&[("one", "a")], &[broken]);
    assert_eq!(code(rig.start(broken).await), "InvalidModules");
}

#[tokio::test(flavor = "multi_thread")]
async fn components_that_multiply_are_bounded() {
    let rig = Rig::new().await;
    let levels: Vec<String> = (0..11).map(|level| format!("l{level}")).collect();
    let mut components = vec![component("l0", "l0", &[])];
    for pair in levels.windows(2) {
        let below = &*pair[0];
        components.push(component(
            &pair[1],
            &pair[1],
            &[("one", below), ("two", below)],
        ));
    }
    let body = with_components(&[("top", "l10")], &components);
    assert_eq!(
        rig.start(body).await.unwrap_err().code(),
        "InvalidDefinition"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_server_takes_and_does_not_run_is_told_once() {
    let rig = Rig::new().await;
    let mut body = with_components(&[("kid", "a")], &[component("a", "a", &[])]);
    let mail = json!({"functions": [{"name": "send", "kind": "Action", "visibility": "public"}]});
    let mail = json!({"path": "mail.js", "source": mail.to_string(), "environment": "node"});
    body["appDefinition"]["changedModules"]
        .as_array_mut()
        .unwrap()
        .push(mail);
    rig.push(body.clone()).await.unwrap();
    rig.push(body).await.unwrap();
    let entries = rig.functions.log().after(0, 0).entries;
    let lines: Vec<&String> = entries.iter().flat_map(|entry| &entry.log_lines).collect();
    assert_eq!(
        lines,
        [
            "[WARN] This server takes these parts of the app and cannot run them yet: the \"use node\" module mail.js. \
             Calls that need one fail and say so; everything else runs."
        ]
    );
}

/// The component at `path` with a schema.
fn with_schema(mut component: Json, schema: Json) -> Json {
    component["schema"] = json!({"path": "schema.js", "source": schema.to_string()});
    component
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_component_are_built_checked_and_kept() {
    let rig = Rig::new().await;
    let kid = |n: &str, has_index| {
        let kid = with_schema(component("a", "a", &[]), rooms(n, has_index));
        with_components(&[("kid", "a"), ("other", "a")], &[kid])
    };
    let reply = rig.push(kid("any", false)).await.unwrap();
    assert_eq!(reply["componentDiffs"]["kid"]["diffType"]["type"], "create");
    for number in [1.0, 2.0] {
        rig.transact(move |tx| tx.insert("kid/rooms", object! { "n" => number }).unwrap())
            .await;
    }
    let misfit = rig.start(kid("string", false)).await.unwrap();
    let failed = rig.prepare(&misfit).await;
    assert_eq!(failed["type"], "failed", "{failed}");
    assert_eq!(
        (&failed["componentPath"], &failed["tableName"]),
        (&json!("kid"), &json!("rooms"))
    );
    let started = rig.start(kid("number", true)).await.unwrap();
    let added = &started["schemaChange"]["indexDiffs"]["kid"]["added_indexes"][0];
    assert_eq!(added["name"], "rooms.by_n");
    assert_eq!(rig.prepare(&started).await["type"], "complete");
    rig.finish(started).await.unwrap();
    let index = rig.transact(|tx| {
        tx.catalog()
            .table("kid/rooms")
            .unwrap()
            .index("by_n")
            .cloned()
    });
    let index = index.await.unwrap();
    assert!(index.is_usable());

    let gone = rig.push(with_components(&[], &[])).await.unwrap();
    let kid_gone = &gone["componentDiffs"]["kid"];
    assert_eq!(kid_gone["diffType"]["type"], "unmount");
    assert_eq!(kid_gone["indexDiff"]["removed_indexes"], json!([]));
    let kept = rig.transact(|tx| {
        tx.catalog()
            .table("kid/rooms")
            .unwrap()
            .index("by_n")
            .cloned()
    });
    assert_eq!(kept.await, Some(index));
    let back = rig.push(kid("number", true)).await.unwrap();
    assert_eq!(back["componentDiffs"]["kid"]["diffType"]["type"], "remount");
    let path: ComponentPath = "kid".parse().unwrap();
    let mounted = rig.pushes.delete_component(path.clone()).await;
    assert_eq!(mounted.unwrap_err().code(), "ComponentMustBeUnmounted");
    rig.push(with_components(&[], &[])).await.unwrap();
    rig.pushes.delete_component(path.clone()).await.unwrap();
    let again = rig.pushes.delete_component(path).await;
    assert_eq!(again.unwrap_err().code(), "ComponentNotFound");
    let other = rig.transact(|tx| tx.catalog().table("other/rooms").is_some());
    assert!(other.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_the_app_is_none_of_a_component_that_is_mounted_there() {
    let rig = Rig::new().await;
    let routes = |paths: &[&str]| {
        let routes: Vec<Json> = paths.iter().map(|path| json!([path, "GET"])).collect();
        let found = json!({"functions": [], "httpRoutes": routes});
        json!({"path": "http.js", "source": found.to_string(), "environment": "isolate"})
    };
    let body = |own: &[&str]| {
        let mut kid = component("a", "a", &[]);
        kid["functions"] = json!([routes(&["/x", "/y/*"])]);
        let mut body = with_components(&[("kid", "a")], &[kid]);
        let mounts = json!({"/kid/": "_reference/childComponent/kid"});
        let children = json!([{"name": "kid", "path": "a"}]);
        let app = json!({"definitionType": {"type": "app"}, "childComponents": children, "httpMounts": mounts});
        body["appDefinition"]["definition"]["source"] = json!(app.to_string());
        let modules = body["appDefinition"]["changedModules"].as_array_mut();
        modules.unwrap().push(routes(own));
        body
    };
    for (own, repeated) in [("/kid/x", "GET /kid/x"), ("/kid/y/*", "GET /kid/y/*")] {
        let refused = rig.start(body(&[own])).await.unwrap_err();
        assert_eq!(refused.code(), "InvalidModules");
        let text = refused.to_string();
        assert!(
            text.starts_with(&format!("The HTTP route {repeated} is")),
            "{text}"
        );
    }
    rig.push(body(&["/x", "/kid/xy", "/kid/*"])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_of_a_component_are_found_by_its_id_or_the_namespace_of_its_tables() {
    let rig = Rig::new().await;
    let kid = with_schema(component("a", "a", &[]), rooms("number", true));
    let mut body = with_components(&[("kid", "a")], &[kid]);
    let schema = rooms("number", false).to_string();
    body["appDefinition"]["schema"] = json!({"path": "schema.js", "source": schema});
    rig.push(body).await.unwrap();
    let names = async |args: Json| {
        let indexes = look(&rig, "indexes", args).await.unwrap();
        let indexes = indexes.as_array().unwrap().iter();
        indexes
            .map(|index| index["name"].clone())
            .collect::<Vec<_>>()
    };
    let of_app = names(json!({"tableName": "rooms", "tableNamespace": null})).await;
    assert!(!of_app.contains(&json!("by_n")), "{of_app:?}");
    for of_kid in ["componentId", "tableNamespace"] {
        assert_eq!(
            names(json!({"tableName": "rooms", of_kid: "kid"})).await,
            ["by_n"]
        );
    }
    let unknown = json!({"tableName": "rooms", "tableNamespace": "other"});
    let refused = look(&rig, "indexes", unknown).await.unwrap_err();
    assert!(refused.contains("There is no component"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes_of_a_component_name_its_tables_as_the_component_does() {
    let rig = Rig::new().await;
    let kid = with_schema(component("a", "a", &[]), rooms("any", false));
    rig.push(with_components(&[("kid", "a")], &[kid]))
        .await
        .unwrap();
    rig.transact(|tx| tx.insert("kid/rooms", object! { "n" => 1.0 }).unwrap())
        .await;
    let shapes = rig.pushes.shapes("kid".parse().unwrap()).await.unwrap();
    let id = &shapes["rooms"]["fields"][1];
    assert_eq!(id["fieldName"], "_id");
    assert_eq!(id["shape"], json!({"type": "Id", "tableName": "rooms"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_effect_of_a_push_is_told_of_each_component() {
    let rig = Rig::new().await;
    let kids = |schema: Json| {
        let kid = with_schema(component("a", "a", &[]), schema);
        with_components(&[("kid", "a"), ("other", "a")], &[kid])
    };
    let evaluate = async |body: Json| {
        let request = serde_json::from_value(body).unwrap();
        rig.pushes.evaluate_schema(request).await.unwrap()
    };
    let first = evaluate(kids(rooms("number", true))).await;
    assert_eq!(first["newComponentDefinitions"], json!(["a"]));
    rig.push(kids(rooms("number", true))).await.unwrap();
    rig.transact(|tx| tx.insert("kid/rooms", object! { "n" => 1.0 }).unwrap())
        .await;
    let mut renamed = rooms("string", true);
    renamed["tables"][0]["indexes"][0]["indexDescriptor"] = json!("by_number");
    renamed["tables"][0]["stagedDocumentType"] =
        rooms("string", false)["tables"][0]["documentType"].clone();
    let reply = evaluate(kids(renamed)).await;
    assert_eq!(reply["newComponentDefinitions"], json!([]));
    let evaluations = reply["componentSchemaEvaluations"].as_object().unwrap();
    assert_eq!(evaluations.keys().collect::<Vec<_>>(), ["", "kid", "other"]);
    assert_eq!(evaluations[""]["indexes"], json!([]));
    let counts = [("kid", 1), ("other", 0)];
    for (path, documents) in counts {
        let evaluated = &evaluations[path];
        assert_eq!(evaluated["definitionPath"], "a");
        let indexes = evaluated["indexes"].as_array().unwrap().iter();
        let changes: Vec<_> = indexes
            .map(|index| (&index["name"], &index["change"], &index["numDocs"]))
            .collect();
        let documents = &json!(documents);
        assert_eq!(
            changes,
            [
                (&json!("rooms.by_number"), &json!("added"), documents),
                (&json!("rooms.by_n"), &json!("dropped"), documents),
            ]
        );
        assert_eq!(evaluated["tables"][0]["name"], "rooms");
        assert_eq!(evaluated["tables"][0]["outcome"], "mustWalk");
    }
    let staged = |path: &str| &evaluations[path]["tables"][0]["staged"]["state"];
    assert_eq!(
        (staged("kid"), staged("other")),
        (&json!("failed"), &json!("valid"))
    );
}
