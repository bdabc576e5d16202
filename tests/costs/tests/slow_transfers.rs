//! The memory that files on their way hold in the server, while their clients send or read them piece by piece. The bytes
//! of all allocations are counted: clients and server are one process, and the clients allocate nothing meanwhile.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value as Json, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use vestibule_server::app::Running;
use vestibule_server::prelude::*;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that one download may hold, whatever the length of its file.
const DOWNLOAD_BYTES_MAX: usize = 128 << 10;
/// Bytes that one upload may hold. These clients send as fast as the server takes their pieces, so it reads long pieces, and a
/// second one while it writes the first.
const UPLOAD_BYTES_MAX: usize = 256 << 10;
/// Transfers at once.
const TRANSFERS: usize = 64;
/// Bytes of each file that go while they are watched: more than every buffer on their way together.
const WATCHED_BYTES: usize = 2 << 20;
/// The files go on behind that.
const FILE_BYTES: usize = 8 << 20;
/// Bytes that a client sends or takes at a time. Short pieces are those of a slow network, long ones of one that stalls.
const PIECES: [usize; 2] = [6 << 10, 256 << 10];
/// The buffer of a client in the system, which would else take large parts of the files.
const CLIENT_BUFFER_BYTES: u32 = 16 << 10;

/// A server with files.
struct Server {
    runtime: Runtime,
    running: Running,
    _data: tempfile::TempDir,
}

#[derive(serde::Deserialize)]
struct Which {
    id: String,
}

impl Server {
    fn start() -> Server {
        let data = tempfile::tempdir().expect("a temporary directory can be made");
        let app = App::new(Schema::new())
            .mutation("files:uploadUrl", |ctx: &mut MutationCtx, (): ()| {
                ctx.storage().generate_upload_url()
            })
            .query("files:url", |ctx: &mut QueryCtx, Which { id }: Which| {
                ctx.storage().get_url(id)
            })
            .without_provisioning();
        let runtime = Runtime::new().expect("a runtime can be made");
        let starting = app.start(Config::for_tests(data.path()));
        let running = runtime.block_on(starting).expect("the server starts");
        Server {
            runtime,
            running,
            _data: data,
        }
    }

    fn connect(&self) -> TcpStream {
        let address: SocketAddr = self.running.address();
        let connecting = async {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(CLIENT_BUFFER_BYTES)?;
            socket.set_send_buffer_size(CLIENT_BUFFER_BYTES)?;
            let stream = socket.connect(address).await?.into_std()?;
            stream.set_nonblocking(false)?;
            std::io::Result::Ok(stream)
        };
        let stream = self.runtime.block_on(connecting);
        stream.expect("the server listens")
    }

    /// The path of the URL that a function gives.
    fn path(&self, kind: &str, function: &str, args: Json) -> String {
        let body = json!({ "path": function, "args": args }).to_string();
        let answer = self.ask(&format!("/api/{kind}"), body.as_bytes());
        let url = answer["value"].as_str().expect("the function gives a URL");
        let (_, rest) = url.split_once("://").expect("a URL has a scheme");
        rest[rest.find('/').expect("a URL has a path")..].to_owned()
    }

    fn ask(&self, path: &str, body: &[u8]) -> Json {
        let mut stream = self.connect();
        stream
            .write_all(post(path, body.len(), "close").as_bytes())
            .expect("it is sent");
        stream.write_all(body).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        serde_json::from_str(body).expect("the answer is JSON")
    }
}

fn post(path: &str, length: usize, connection: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// The bytes of everything that is allocated now.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Moves the watched part of all files side by side, a piece at a time, and tells the most bytes that one of them held.
fn most_held(
    mut streams: Vec<TcpStream>,
    before: usize,
    mut step: impl FnMut(&mut TcpStream, usize),
) -> usize {
    let mut most = 0;
    for piece in PIECES {
        for _ in 0..WATCHED_BYTES / PIECES.len() / piece {
            for stream in &mut streams {
                step(stream, piece);
                most = most.max(allocated().saturating_sub(before));
            }
        }
    }
    most / streams.len()
}

#[test]
fn slow_transfers_hold_little_memory() {
    let server = Server::start();
    let upload = server.path("mutation", "files:uploadUrl", json!({}));
    let content = vec![7; FILE_BYTES];
    let stored = server.ask(&upload, &content);
    let id = stored["storageId"].as_str().expect("the file is stored");
    let download = server.path("query", "files:url", json!({ "id": id }));
    let streams = || (0..TRANSFERS).map(|_| server.connect()).collect();
    let mut taken = vec![0; PIECES[1]];

    let (before, mut reading): (usize, Vec<TcpStream>) = (allocated(), streams());
    let request = format!("GET {download} HTTP/1.1\r\nHost: x\r\n\r\n");
    for stream in &mut reading {
        stream.write_all(request.as_bytes()).expect("it is sent");
    }
    let read = most_held(reading, before, |stream, piece| {
        stream
            .read_exact(&mut taken[..piece])
            .expect("the file goes on");
    });

    let (before, mut sending): (usize, Vec<TcpStream>) = (allocated(), streams());
    let head = post(&upload, FILE_BYTES, "keep-alive");
    for stream in &mut sending {
        stream.write_all(head.as_bytes()).expect("it is sent");
    }
    let sent = most_held(sending, before, |stream, piece| {
        stream
            .write_all(&content[..piece])
            .expect("the file is taken");
    });

    println!("a download held {read} bytes, an upload {sent}");
    for (what, held, max) in [
        ("a download", read, DOWNLOAD_BYTES_MAX),
        ("an upload", sent, UPLOAD_BYTES_MAX),
    ] {
        assert!(held < max, "{what} holds {held} bytes");
        // Less than a system's page were no transfer at all.
        assert!(held > 4_096, "{what} holds {held} bytes");
    }
    server.runtime.block_on(server.running.shut_down());
}
