//! Applications on the React package: pages in a Node process, moved by orders on its standard input, that report their
//! sights on its standard output.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use vestibule_tests::story::Saw;

use super::driver::{Act, Mint};
use super::issuer::Person;
use super::page::{Desk, Open, Order};
use super::plan::Quality;

/// A Node process with pages.
pub struct Pages {
    process: Child,
    orders: Mutex<ChildStdin>,
    open: Arc<Mutex<BTreeMap<u64, UnboundedSender<Said>>>>,
    next: AtomicU64,
}

/// A page's report.
#[derive(Deserialize)]
struct Said {
    page: u64,
    /// Something for its story.
    saw: Option<Saw>,
    /// The call with this mark is over.
    done: Option<String>,
    /// It needs a token of a login, under this number.
    token: Option<u64>,
    #[serde(default)]
    login: u64,
    #[serde(default)]
    force: bool,
    /// It is closed.
    #[serde(default)]
    ended: bool,
}

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/react")
}

/// Installs and builds the package once.
fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        for args in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"]] {
            let npm = Command::new("npm")
                .args(args)
                .current_dir(package())
                .output();
            let npm =
                npm.expect("these tests need Node 20 or newer with npm: see https://nodejs.org");
            let said = String::from_utf8_lossy(&npm.stdout);
            assert!(npm.status.success(), "npm {args:?} failed:\n{said}");
        }
    });
}

impl Pages {
    pub fn start() -> anyhow::Result<Pages> {
        build();
        let mut process = Command::new("node")
            .arg("test/pages.mjs")
            .current_dir(package())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("these tests need Node 20 or newer: see https://nodejs.org")?;
        let orders = process.stdin.take().context("its input is piped")?;
        let lines = BufReader::new(process.stdout.take().context("its output is piped")?);
        let open: Arc<Mutex<BTreeMap<u64, UnboundedSender<Said>>>> = Arc::default();
        let listeners = open.clone();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let said: Said =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                // A page without a listener has ended.
                if let Some(listener) = listeners.lock().get(&said.page) {
                    let _ = listener.send(said);
                }
            }
            // The remaining listeners hear that there will be nothing more.
            listeners.lock().clear();
        });
        Ok(Pages {
            process,
            orders: Mutex::new(orders),
            open,
            next: AtomicU64::new(1),
        })
    }

    fn order(&self, order: &Json) {
        // The waiter of a process notices its end.
        let _ = writeln!(self.orders.lock(), "{order}");
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // It holds nothing that outlasts it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One page.
struct App {
    pages: Arc<Pages>,
    page: u64,
    c: usize,
    mint: Mint,
    desk: Arc<Desk>,
    /// The sign-ins so far: of whom, and how good the token at hand is.
    logins: Vec<(Person, Quality)>,
    calls: u64,
    /// The newest sign-in, while it is under way.
    entering: Option<(u64, Open)>,
    /// Calls without an outcome.
    open: BTreeMap<String, Open>,
}

/// Carries out orders until there will be none any more, and closes the page.
pub async fn run(
    pages: Arc<Pages>,
    c: usize,
    url: String,
    mint: Mint,
    desk: Arc<Desk>,
    mut orders: UnboundedReceiver<Order>,
) {
    let page = pages.next.fetch_add(1, Ordering::Relaxed);
    let (listener, mut said) = mpsc::unbounded_channel();
    pages.open.lock().insert(page, listener);
    pages.order(&json!({ "do": "open", "page": page, "url": url }));
    let mut app = App {
        pages,
        page,
        c,
        mint,
        desk,
        logins: Vec::new(),
        calls: 0,
        entering: None,
        open: BTreeMap::new(),
    };
    let mut is_closing = false;
    loop {
        tokio::select! {
            order = orders.recv(), if !is_closing => match order {
                Some((act, _open)) => app.act(act),
                None => {
                    is_closing = true;
                    app.order("end", json!({}));
                }
            },
            said = said.recv() => match said {
                Some(said) if said.ended => break,
                Some(said) => app.hear(said),
                None => panic!("the pages have ended by themselves"),
            },
        }
    }
    app.pages.open.lock().remove(&page);
}

impl App {
    fn order(&self, what: &str, mut order: Json) {
        order["do"] = json!(what);
        order["page"] = json!(self.page);
        self.pages.order(&order);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::SignIn(person, quality) => {
                let identity = self.mint.identity(&person);
                self.logins.push((person, quality));
                let login = self.logins.len() as u64;
                self.entering = Some((login, self.desk.begin()));
                self.order("signIn", json!({ "login": login, "identity": identity }));
            }
            Act::SignOut => {
                self.entering = None;
                self.order("signOut", json!({}));
            }
            Act::Watch(query) => self.order("watch", json!({ "query": query.path() })),
            Act::Unwatch(query) => self.order("unwatch", json!({ "query": query.path() })),
            Act::Mutate => self.call("mutate"),
            // One who is kept out tries again.
            Act::Again => self.call("retry"),
            // The package leaves actions to the official hooks; the wire is not its business.
            Act::Action | Act::Lose | Act::Reconnect => {}
        }
    }

    fn call(&mut self, what: &str) {
        self.calls += 1;
        let mark = format!("{}-{}", self.c, self.calls);
        self.open.insert(mark.clone(), self.desk.begin());
        self.order(what, json!({ "mark": mark }));
    }

    fn hear(&mut self, said: Said) {
        if let Some(number) = said.token {
            let text = self.token(said.login, said.force);
            self.order("token", json!({ "token": number, "text": text }));
        }
        if let Some(mark) = said.done {
            self.open.remove(&mark);
        }
        let Some(saw) = said.saw else { return };
        if let Saw::LetIn { login } | Saw::KeptOut { login, .. } = &saw {
            self.entering = self.entering.take().filter(|(newest, _)| newest != login);
        }
        self.desk.saw(saw);
    }

    /// A token of a login. Only the first is worse than it should be; there is none while the provider is down.
    fn token(&mut self, login: u64, force: bool) -> Option<String> {
        let at = usize::try_from(login).ok()?.checked_sub(1)?;
        let (person, quality) = self.logins.get_mut(at)?;
        if force && self.mint.issuer.is_down() {
            return None;
        }
        let quality = std::mem::replace(quality, Quality::Fresh);
        Some(self.mint.token(person, quality))
    }
}
