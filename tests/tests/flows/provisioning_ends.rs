//! Real processes that end, by themselves or not, while a person signs in for the first time.

use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use vestibule_schema::wire::SessionId;
use vestibule_tests::process::{Chat, ChatOptions, admin_authorization};
use vestibule_tests::raw::RawClient;

use super::people::people;

/// An app on an address of its own, where the provisioning of a slow person stops behind its writes.
struct World {
    options: ChatOptions,
    pauses: TcpListener,
    _data: TempDir,
}

impl World {
    async fn new() -> World {
        let data = tempfile::tempdir().unwrap();
        let pauses = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pause = pauses.local_addr().unwrap().to_string();
        // The same address after a restart: it is the development issuer's name, and so part of every identity.
        let options = people(data.path())
            .arguments(&["--listen", &super::free_address()])
            .variable("PEOPLE_PAUSE", &pause);
        World {
            options,
            pauses,
            _data: data,
        }
    }

    /// Waits until a provisioning has written, and holds it there.
    async fn paused(&self) -> TcpStream {
        self.pauses.accept().await.unwrap().0
    }
}

async fn sign_in(app: &Chat, subject: &str) -> RawClient {
    let mut client = RawClient::connect(&app.sync_url(), SessionId(rand::random()))
        .await
        .unwrap();
    let token = app.token(subject).await.unwrap();
    client.authenticate(&token).await.unwrap();
    client.watch("people:me").await.unwrap();
    client
}

async fn count(app: &Chat) -> serde_json::Value {
    app.query("people:count", json!({})).await.unwrap()
}

#[tokio::test]
async fn c9_a_server_that_dies_after_the_commit_finds_the_user_when_its_client_comes_back() {
    let world = World::new().await;
    for number in 1..=5 {
        let app = world.options.start().unwrap();
        let subject = format!("p{number}");
        // It is told nothing that it reads: whether anything was sent before the end is left to chance.
        let unread = sign_in(&app, &subject).await;
        while count(&app).await != f64::from(number) {
            tokio::task::yield_now().await;
        }
        app.kill();
        drop(unread);
        let app = world.options.start().unwrap();
        let newest = app.newest_commit().await.unwrap();
        sign_in(&app, &subject).await.result().await.unwrap();
        assert_eq!(
            app.newest_commit().await.unwrap(),
            newest,
            "nothing to write"
        );
        assert_eq!(count(&app).await, f64::from(number));
    }
}

#[tokio::test]
async fn c10_a_server_that_dies_in_the_transaction_has_stored_nothing() {
    let world = World::new().await;
    let app = world.options.start().unwrap();
    let waiting = sign_in(&app, "slow ada").await;
    let pause = world.paused().await;
    app.kill();
    drop((waiting, pause));
    let app = world.options.start().unwrap();
    assert_eq!(count(&app).await, 0.0);
    assert_eq!(
        app.query("people:welcomed", json!({})).await.unwrap(),
        0.0,
        "nothing of the transaction, not half of it"
    );
    let mut again = sign_in(&app, "slow ada").await;
    world.paused().await.write_all(&[1]).await.unwrap();
    again.result().await.unwrap();
    assert_eq!(count(&app).await, 1.0);
}

#[tokio::test]
async fn j4_a_server_that_is_asked_to_stop_while_somebody_signs_in_ends_well_and_half_does_nothing()
{
    let world = World::new().await;
    let app = world.options.start().unwrap();
    let mut waiting = sign_in(&app, "slow ada").await;
    let mut pause = world.paused().await;
    app.ask_to_stop().unwrap();
    // It closes with a reason to come back, or lets her in before.
    let told = async { waiting.result().await.map_err(|error| error.to_string()) };
    let (told, ()) = tokio::join!(told, async {
        pause.write_all(&[1]).await.unwrap();
    });
    if let Err(closed) = told {
        assert!(
            closed.contains("1001") || closed.contains("1012"),
            "{closed}"
        );
    }
    assert_eq!(app.wait().unwrap(), Some(0));
    let app = world.options.start().unwrap();
    assert_eq!(
        (
            count(&app).await,
            app.query("people:welcomed", json!({})).await.unwrap()
        ),
        (json!(1.0), json!(1.0))
    );
    let mut again = sign_in(&app, "slow ada").await;
    // Her run finds all there.
    again.result().await.unwrap();
    assert_eq!(count(&app).await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j8_and_i7_all_who_come_back_after_a_restart_are_let_in_without_a_write() {
    const PEOPLE: usize = 300;
    let world = World::new().await;
    let names: Vec<String> = (0..PEOPLE).map(|number| format!("p{number}")).collect();
    let app = world.options.start().unwrap();
    let log_in = async |app: &Chat| {
        let logins = names.iter().map(async |name| {
            let mut client = sign_in(app, name).await;
            let user = serde_json::to_value(client.result().await.unwrap()).unwrap();
            assert_eq!(&user["name"], name);
            client
        });
        join_all(logins).await
    };
    drop(log_in(&app).await);
    assert_eq!(app.stop().unwrap(), Some(0));
    let app = world.options.start().unwrap();
    let newest = app.newest_commit().await.unwrap();
    let clients = log_in(&app).await;
    assert_eq!(app.newest_commit().await.unwrap(), newest);
    drop(clients);
    assert_eq!(count(&app).await, PEOPLE as f64);
}

/// A disk that takes no more, made of a limit on the size of a file.
#[tokio::test]
async fn j5_on_a_disk_that_is_full_known_users_come_in_and_new_ones_are_told_to_come_back() {
    const LIMITED: &str = "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"";
    let data = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_people-under-test");
    let arguments = ["-c", LIMITED, program, "--listen", "127.0.0.1:0"];
    let app = ChatOptions::new("sh", data.path())
        .arguments(&arguments)
        .start()
        .unwrap();
    let mut known = sign_in(&app, "ada").await;
    known.result().await.unwrap();
    let admin = admin_authorization(data.path()).unwrap();
    // Until not even a small write goes in any more.
    for bytes in [100_000, 1] {
        let mut written = 0;
        while write(&app, &admin, bytes).await {
            written += 1;
            assert!(written < 1_000, "the disk does not get full");
        }
    }
    // The one is let in by what can be read; the other has to be written.
    let mut again = sign_in(&app, "ada").await;
    let user = serde_json::to_value(again.result().await.unwrap()).unwrap();
    assert_eq!(user["name"], "ada");
    let mut new = sign_in(&app, "grace").await;
    let closed = new.result().await.unwrap_err().to_string();
    assert!(closed.contains("1013 ProvisioningFailed"), "{closed}");
    assert_eq!(count(&app).await, 1.0);
}

/// Writes so many bytes, and says whether they were taken.
async fn write(app: &Chat, admin: &str, bytes: usize) -> bool {
    let event: u128 = rand::random();
    let told = json!({
        "event": event.to_string(), "kind": "updated", "token": "nobody", "at": 1.0, "team": "x".repeat(bytes),
    });
    let answer = app.answer("mutation", "webhooks:apply", told, Some(admin.to_string()));
    answer.await.is_ok()
}
