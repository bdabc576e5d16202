//! Starts that must be refused, each with a sentence that says what is wrong and what to do.

use std::path::Path;

use serde_json::json;
use vestibule_schema::timestamp::Timestamp;
use vestibule_server::prelude::{App, Config, HttpResponse, Method, Schema, StatusCode};
use vestibule_tests::process::Chat;
use vestibule_tests::raw::RawClient;

use super::chat;

fn refused(data: &Path, arguments: &[&str]) -> String {
    let (code, said) = chat(data).arguments(arguments).run_to_end().unwrap();
    assert_ne!(code, Some(0), "it started: {said}");
    said
}

const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn a_busy_port_is_named() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(data.path(), &["--listen", &address]);
    assert!(
        said.contains(&address) && said.contains("is in use"),
        "{said}"
    );
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let first = chat(data.path()).start().unwrap();
    let said = refused(data.path(), &ANY_PORT);
    assert!(said.contains("in use by another process"), "{said}");
    assert_eq!(first.stop().unwrap(), Some(0));
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let data = tempfile::NamedTempFile::new().unwrap();
    let said = refused(data.path(), &ANY_PORT);
    assert!(said.contains("data directory"), "{said}");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("vestibule.sqlite3"), [b'x'; 8192]).unwrap();
    let said = refused(data.path(), &ANY_PORT);
    assert!(said.contains("is not a Vestibule database"), "{said}");
}

#[test]
fn files_without_their_database_are_no_new_deployment() {
    let data = tempfile::tempdir().unwrap();
    let shard = data.path().join("files/0a");
    std::fs::create_dir_all(&shard).unwrap();
    let content = shard.join("0a0b0c0d-0000-4000-8000-000000000000");
    std::fs::write(&content, "x").unwrap();
    let said = refused(data.path(), &ANY_PORT);
    assert!(said.contains("no database that they belong to"), "{said}");
    assert!(content.exists());
    std::fs::remove_file(&content).unwrap();
    let chat = chat(data.path()).start().unwrap();
    assert_eq!(chat.stop().unwrap(), Some(0));
}

#[test]
fn a_database_file_without_bytes_is_no_new_deployment() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("vestibule.sqlite3");
    std::fs::File::create(&file).unwrap();
    let said = refused(data.path(), &ANY_PORT);
    assert!(
        said.contains("is empty; restore it from a backup, or remove it"),
        "{said}"
    );
    std::fs::remove_file(&file).unwrap();
    let running = chat(data.path()).start().unwrap();
    assert_eq!(running.stop().unwrap(), Some(0));
}

#[test]
fn development_mode_is_refused_on_a_public_address_and_beside_a_production_issuer() {
    let data = tempfile::tempdir().unwrap();
    let said = refused(data.path(), &["--listen", "0.0.0.0:0", "--dev"]);
    assert!(said.contains("loopback"), "{said}");
    let production = [
        "--issuer",
        "https://your-app.clerk.accounts.dev",
        "--audience",
        "convex",
    ];
    let said = refused(
        data.path(),
        &[&ANY_PORT[..], &["--dev"], &production].concat(),
    );
    assert!(said.contains("remove one of the two"), "{said}");
}

#[test]
fn a_public_address_without_an_issuer_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let said = refused(data.path(), &["--listen", "0.0.0.0:0"]);
    assert!(said.contains("loopback"), "{said}");
}

#[test]
fn an_issuer_that_cannot_be_one_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let said = refused(
        data.path(),
        &[
            &ANY_PORT[..],
            &["--issuer", "not a domain", "--audience", "convex"],
        ]
        .concat(),
    );
    assert!(said.contains("auth configuration"), "{said}");
}

#[test]
fn a_server_that_is_asked_to_stop_ends_well_and_starts_again() {
    let data = tempfile::tempdir().unwrap();
    // Also one that is asked in the moment in which it says that it is there.
    for _ in 0..20 {
        assert_eq!(chat(data.path()).start().unwrap().stop().unwrap(), Some(0));
    }
}

#[test]
fn c12_an_app_that_says_nothing_of_provisioning_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let app = super::people::people(data.path());
    let (code, said) = app.variable("PEOPLE_PROVISION", "").run_to_end().unwrap();
    assert_ne!(code, Some(0), "it started: {said}");
    assert!(said.contains("provision"), "{said}");
    let app = super::people::people(data.path()).variable("PEOPLE_PROVISION", "none");
    assert_eq!(app.start().unwrap().stop().unwrap(), Some(0));
}

#[test]
fn c13_a_provisioning_function_that_is_gone_or_is_another_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let problems = [
        ("people:gone", "is not registered"),
        ("people:me", "is not a mutation"),
        ("people:rename", "needs arguments"),
    ];
    for (path, problem) in problems {
        let app = super::people::people(data.path()).variable("PEOPLE_PROVISION", path);
        let (code, said) = app.run_to_end().unwrap();
        assert_ne!(code, Some(0), "it started: {said}");
        assert!(said.contains(path) && said.contains(problem), "{said}");
    }
}

#[tokio::test]
async fn an_http_action_at_a_path_that_is_taken_or_is_none_is_refused() {
    let data = tempfile::tempdir().unwrap();
    for (paths, says) in [
        (["/clerk", "/clerk"], "`POST /clerk` is registered twice"),
        (["/clerk", "stripe"], "`POST stripe` must begin with `/`"),
    ] {
        let app = paths
            .into_iter()
            .fold(App::new(Schema::new()), |app, path| {
                app.http_route(Method::POST, path, async |_, _| {
                    Ok(HttpResponse::empty(StatusCode::OK))
                })
            });
        let started = app
            .without_provisioning()
            .start(Config::for_tests(data.path()));
        let refused = started.await.err().unwrap().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}

/// The newest timestamp, as a client hears of it.
async fn newest_ts(chat: &Chat) -> Timestamp {
    let asked = reqwest::Client::new().post(format!("{}/api/query_ts", chat.url()));
    let answer: serde_json::Value = asked.send().await.unwrap().json().await.unwrap();
    Timestamp::from_wire(answer["ts"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_client_that_saw_more_than_an_older_backup_holds_is_served_at_once() {
    let (data, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = |from: &Path, to: &Path| {
        for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    let chat = super::chat(data.path()).start().unwrap();
    assert_eq!(chat.stop().unwrap(), Some(0));
    copy(data.path(), backup.path());

    let chat = super::chat(data.path()).start().unwrap();
    let token = chat.token("ada").await.unwrap();
    let message = json!({ "channel": "general", "body": "lost with the disk" });
    let sent = chat.call("mutation", "messages:send", message, Some(&token));
    sent.await.unwrap();
    let seen = newest_ts(&chat).await;
    assert_eq!(chat.stop().unwrap(), Some(0));

    let chat = super::chat(backup.path()).start().unwrap();
    let session = "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab".parse().unwrap();
    let url = chat.sync_url();
    let client = RawClient::connect_having_seen(&url, session, Some(seen));
    let mut client = client.await.unwrap();
    client.watch("channels:list").await.unwrap();
    client.result().await.unwrap();
    assert!(newest_ts(&chat).await > seen);
}

#[tokio::test]
async fn the_metrics_tell_of_appends_and_checkpoints() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let [appends, finished, failed, seconds, waited] = chat
        .metrics(&[
            "vestibule_storage_appends_total",
            "vestibule_storage_checkpoints_total",
            "vestibule_storage_checkpoint_failures_total",
            "vestibule_storage_checkpoint_seconds_total",
            "vestibule_storage_checkpoint_append_wait_seconds_total",
        ])
        .await
        .unwrap()[..]
    else {
        panic!("a metric is missing");
    };
    // The tables were made, and that is too little for a checkpoint.
    assert!(appends > 0.0);
    assert_eq!([finished, failed, seconds, waited], [0.0; 4]);
}
