//! The alternatives serve the load program's requests, and leave nothing behind.

// Helpers may unwrap here as tests do.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use load::alternatives::{Alternative, RunningAlternative};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

const ACCOUNTS: u64 = 100;

struct Caller {
    socket: WebSocket<TcpStream>,
    request_id: u64,
}

impl Caller {
    fn connect(server: &RunningAlternative) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let (socket, _) = client(server.url(), stream).unwrap();
        let mut caller = Self {
            socket,
            request_id: 0,
        };
        caller.send(json!({"type": "Connect", "sessionId": "00000000-0000-4000-8000-000000000000", "connectionCount": 0}));
        caller.send(json!({"type": "Authenticate", "baseVersion": 0, "tokenType": "None"}));
        caller.send(json!({"type": "ModifyQuerySet", "baseVersion": 0, "newVersion": 1, "modifications": []}));
        caller
    }

    fn send(&mut self, message: Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .unwrap();
    }

    fn begin(&mut self, path: &str, args: Value) {
        self.request_id += 1;
        let request_id = self.request_id;
        self.send(
            json!({"type": "Mutation", "requestId": request_id, "udfPath": path, "args": [args]}),
        );
    }

    fn answer(&mut self) -> Value {
        let answer = self.socket.read().unwrap();
        serde_json::from_str(answer.to_text().unwrap()).unwrap()
    }

    fn call(&mut self, path: &str, args: Value) -> Value {
        self.begin(path, args);
        let answer = self.answer();
        assert_eq!(answer["requestId"], self.request_id);
        answer
    }

    fn result(&mut self, path: &str, args: Value) -> Value {
        let answer = self.call(path, args);
        assert_eq!(answer["success"], true, "{answer}");
        answer["result"].clone()
    }
}

/// The directories of alternatives whose files one of these processes has open.
fn directories(pids: &[u64]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = pids
        .iter()
        .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok())
        .flatten()
        .filter_map(|file| fs::read_link(file.unwrap().path()).ok())
        .flat_map(|path| path.ancestors().map(Path::to_owned).collect::<Vec<_>>())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("vestibule-load-")
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

fn is_running(pid: u64) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn serves_transfers_and_leaves_nothing_behind(alternative: Alternative) {
    let server = alternative
        .start(ACCOUNTS)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut caller = Caller::connect(&server);
    let total = caller.result("accounts:total", json!({}));
    assert!(total.as_f64().unwrap() > 0.0, "{total}");

    for number in 0..100_u64 {
        let (from, to) = (number % ACCOUNTS, (number * 7 + 1) % ACCOUNTS);
        // Clients of Convex may write a number with or without a fraction.
        let amount = if number % 2 == 0 {
            json!(5)
        } else {
            json!(5.0)
        };
        caller.begin(
            "accounts:transfer",
            json!({"from": from, "to": to, "amount": amount}),
        );
    }
    let mut answered: Vec<u64> = (0..100)
        .map(|_| {
            let answer = caller.answer();
            assert_eq!(answer["type"], "MutationResponse");
            assert_eq!(answer["success"], true, "{answer}");
            assert_eq!(answer["result"], Value::Null);
            assert_eq!(answer["ts"].as_str().unwrap().len(), 12);
            answer["requestId"].as_u64().unwrap()
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (2..=101).collect::<Vec<u64>>());
    assert_eq!(caller.result("accounts:total", json!({})), total);

    for wrong in [
        json!({"from": 0, "to": ACCOUNTS, "amount": 1}),
        json!({"from": 0, "to": 1, "amount": 1e15}),
        json!({"from": 0, "to": 1, "amount": -1}),
        json!({"from": "nobody", "to": 1, "amount": 1}),
        json!({}),
    ] {
        let answer = caller.call("accounts:transfer", wrong);
        assert_eq!(answer["success"], false, "{answer}");
        assert!(answer["result"].is_string(), "{answer}");
    }
    assert_eq!(caller.call("accounts:none", json!({}))["success"], false);
    assert_eq!(caller.result("accounts:total", json!({})), total);

    let stats = caller.result("server:stats", json!({}));
    assert!(stats["retries"].is_u64(), "{stats}");
    let pids: Vec<u64> = serde_json::from_value(stats["pids"].clone()).unwrap();
    assert!(pids.contains(&u64::from(server.pid())));
    assert!(pids.iter().all(|pid| is_running(*pid)), "{pids:?}");
    let directories = directories(&pids);
    assert!(!directories.is_empty());

    drop(server);
    assert!(!pids.iter().any(|pid| is_running(*pid)), "{pids:?}");
    assert!(!directories.iter().any(|path| path.exists()));
}

#[test]
fn node_with_sqlite_serves_transfers_and_leaves_nothing_behind() {
    let headers = ["/usr/include/node", "/usr/local/include/node"];
    if !headers.iter().any(|path| Path::new(path).exists()) {
        install_as_root(&["g++", "make", "python3", "libnode-dev"]);
    }
    serves_transfers_and_leaves_nothing_behind(Alternative::NodeSqlite);
}

#[test]
fn node_with_postgres_serves_transfers_and_leaves_nothing_behind() {
    if !Path::new("/usr/lib/postgresql").exists() && std::env::var_os("POSTGRES_BIN").is_none() {
        install_as_root(&["postgresql"]);
    }
    serves_transfers_and_leaves_nothing_behind(Alternative::Postgres);
}

/// The packages that a machine of continuous integration lacks; elsewhere the error of the start says what to do.
fn install_as_root(packages: &[&str]) {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        return;
    }
    for args in [&["update"][..], &["install", "-y", "--no-remove"][..]] {
        let apt = Command::new("apt-get")
            .args(args)
            .args(if args == ["update"] { &[] } else { packages })
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output();
        if apt.is_err() {
            return;
        }
    }
}

#[test]
fn an_unknown_alternative_is_refused_with_the_known_names() {
    let refused = "mongo".parse::<Alternative>().unwrap_err().to_string();
    assert!(refused.contains("node-sqlite or postgres"), "{refused}");
    for alternative in Alternative::ALL {
        assert_eq!(
            alternative.name().parse::<Alternative>().unwrap(),
            alternative
        );
    }
}
