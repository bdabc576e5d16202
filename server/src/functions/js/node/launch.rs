//! The start of a process: its folders, its socket, its empty environment.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::Node;
use super::code::NodeCode;
use super::folder::Sign;
use super::frames::{Bodies, ToNode};
use super::program::{Program, Reach};
use crate::functions::js::streams::{HELD_BYTES_MAX, Streams};
use crate::storage::private_directory;

/// A process that has been started.
pub struct Launched {
    pub child: Child,
    pub socket: UnixStream,
    root: String,
    pub temporary: PathBuf,
    pub sign: Sign,
}

impl Launched {
    /// The first message to it.
    pub fn setup<'s>(&'s self, node: &Node, code: &'s NodeCode) -> ToNode<'s> {
        ToNode::Setup {
            root: &self.root,
            temporary: self.temporary.to_str().unwrap_or_default(),
            variables: &code.parts.variables,
            is_checked: !node.outbound.is_open(),
            bodies: Bodies {
                bytes_max: HELD_BYTES_MAX,
                refusal: Streams::too_much(),
            },
        }
    }
}

/// Starts a process, which then waits for its first message.
pub async fn launch(
    node: &Node,
    program: &Program,
    code: &NodeCode,
    packages: Option<&Path>,
) -> io::Result<Launched> {
    let scripts = node.scripts().await?;
    let root = code.root(packages).await?;
    let temporary = node.run.next("temporary")?;
    private_directory(&temporary)?;
    let (ours, theirs) = Socket::pair()?;
    ours.set_nonblocking(true)?;
    let reach = Reach {
        reads: [Some(&*scripts), Some(root), packages]
            .into_iter()
            .flatten()
            .collect(),
        writes: &temporary,
    };
    let mut command = Command::new(&program.path);
    command
        .args(program.flags(&node.options, &reach))
        .arg(scripts.join("main.mjs"))
        .current_dir(&temporary)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // Certificates of an operator's own authorities.
    command.envs(std::env::var_os(CERTIFICATES).map(|file| (CERTIFICATES, file)));
    let child = command.spawn()?;
    let sign = node.run.sign(child.id().unwrap_or_default())?;
    let text = root.to_str().map(str::to_owned);
    Ok(Launched {
        child,
        socket: UnixStream::from_std(ours)?,
        root: text.ok_or_else(|| io::Error::other("the data directory's path is not text"))?,
        temporary,
        sign,
    })
}

/// The one variable of the server that processes get.
const CERTIFICATES: &str = "NODE_EXTRA_CA_CERTS";
