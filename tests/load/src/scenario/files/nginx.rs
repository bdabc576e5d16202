//! nginx, which serves a folder as distributions configure it, on a port of this machine.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::server::Server;

/// How long nginx may take until it answers.
const START_MAX: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A port that was free a moment ago may be taken; another one is tried.
const TRIES: u32 = 5;

/// Ends nginx when its standard input does, also where the program that started it is killed.
const WRAPPED: &str = r#"nginx -p "$1" -c "$1/nginx.conf" & read -r _; kill "$!"; wait "$!""#;

/// Starts nginx on a folder, which goes when the server does.
pub fn start(folder: TempDir) -> anyhow::Result<Server> {
    if let Err(error) = Command::new("nginx")
        .arg("-v")
        .stderr(Stdio::null())
        .status()
    {
        match error.kind() {
            ErrorKind::NotFound => {
                bail!("nginx is not installed: `apt-get install nginx`, or see https://nginx.org")
            }
            _ => bail!("nginx cannot be run: {error}"),
        }
    }
    for _ in 0..TRIES {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut child = start_on(port, folder.path())?;
        if listens(port)? {
            return Server::of_shell("nginx", port, child, folder);
        }
        drop(child.stdin.take());
        child.wait()?;
    }
    let log = std::fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
    bail!("nginx does not start:\n{log}")
}

fn start_on(port: u16, folder: &Path) -> anyhow::Result<Child> {
    let folder_text = folder.display();
    let config = format!(
        "daemon off; worker_processes auto; pid {folder_text}/nginx.pid; error_log {folder_text}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
         client_body_temp_path {folder_text}/t1; proxy_temp_path {folder_text}/t2; fastcgi_temp_path {folder_text}/t3;\n\
         uwsgi_temp_path {folder_text}/t4; scgi_temp_path {folder_text}/t5;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; root {folder_text}; }} }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), config)?;
    // Workers of nginx may run as another user, who has to see the files.
    let public = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder, public)?;
    Command::new("sh")
        .args(["-c", WRAPPED, "sh"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("nginx does not start")
}

/// Whether somebody answers at the port in time.
fn listens(port: u16) -> anyhow::Result<bool> {
    let start = Instant::now();
    while start.elapsed() < START_MAX {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(true);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(false)
}
