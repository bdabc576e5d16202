//! An import of many small documents, over the endpoints that the official command line uses: parts, then what to do with them.

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use serde_json::{Value as Json, json};

use crate::accounts;
use crate::app::BALANCE;
use crate::measure::Window;
use crate::memory::Memory;
use crate::progress::Progress;
use crate::report::{Check, Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `imports`.
#[derive(Args, Clone, Debug)]
pub struct Imports {
    /// How many documents are imported.
    #[arg(long, default_value_t = 1_000_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub documents: u32,
}

/// Bytes of a part, as the official command line sends them.
const PART_BYTES: usize = 5 << 20;
/// How often the server is asked for the import's state.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs it.
pub fn run(flags: &Imports, server: &Server) -> anyhow::Result<Run> {
    let importing = Importing {
        server,
        key: server.admin_key()?,
        memory: Memory::before(server)?,
    };
    let mut measured = Measured::of(server);
    measured.border();
    let start = Instant::now();
    let mut window = Window::open(start);
    let (upload, parts) = importing.upload(flags.documents)?;
    let uploaded = start.elapsed();
    importing.import(&upload, &parts)?;
    let end = Instant::now();
    measured.border();
    window.add(end, flags.documents.into());
    window.close(end);
    let mut memory = importing.memory.figures(server)?;
    memory.extend(importing.memory.parts(server)?);

    let mut run = measured.run("imports", "documents", &window)?;
    // All come with one answer, so that the slices would show nothing.
    run.rate_over_time.counts.clear();
    run.settings = settings([("documents", flags.documents.to_string())]);
    run.figures.extend([
        Figure::new("upload", uploaded.as_secs_f64(), "s"),
        Figure::new("import", (end - start - uploaded).as_secs_f64(), "s"),
    ]);
    run.figures.extend(memory);
    let total = accounts::total(flags.documents, server)?;
    let expected = f64::from(flags.documents);
    run.checks = vec![Check {
        what: "The table has each document once.".into(),
        holds: total.accounts == expected && total.balance == expected * BALANCE,
        seen: format!(
            "{} of {expected}, {} in them",
            total.accounts, total.balance
        ),
    }];
    Ok(run)
}

/// Speaks to the server as the official command line does.
struct Importing<'s> {
    server: &'s Server,
    key: &'s str,
    memory: Memory,
}

impl Importing<'_> {
    /// Sends all documents, and returns the upload's token and those of its parts.
    fn upload(&self, documents: u32) -> anyhow::Result<(Json, Vec<Json>)> {
        let progress = Progress::new("documents", documents.into());
        let begun = self.post("/api/import/start_upload", b"")?;
        let token = begun["uploadToken"].clone();
        let name = token.as_str().unwrap_or_default();
        let (mut tokens, mut part) = (Vec::new(), Vec::new());
        for number in 0..documents {
            let document = json!({ "number": number, "balance": BALANCE });
            part.extend_from_slice(document.to_string().as_bytes());
            part.push(b'\n');
            if part.len() < PART_BYTES && number + 1 < documents {
                continue;
            }
            let which = tokens.len() + 1;
            let path = format!("/api/import/upload_part?uploadToken={name}&partNumber={which}");
            tokens.push(self.post(&path, &part)?);
            self.memory.look(self.server)?;
            part.clear();
            progress.step(number.into(), "uploaded".into());
        }
        Ok((token, tokens))
    }

    /// Imports what was sent, and returns once it is there.
    fn import(&self, upload: &Json, parts: &[Json]) -> anyhow::Result<()> {
        let import =
            json!({ "tableName": "accounts", "mode": "requireEmpty", "format": "jsonLines" });
        let finish = json!({ "import": import, "uploadToken": upload, "partTokens": parts });
        let id = self.post("/api/import/finish_upload", finish.to_string().as_bytes())?;
        if self.settled(&id, "uploaded")? == "waiting_for_confirmation" {
            self.post("/api/perform_import", id.to_string().as_bytes())?;
            // It waits until the server has taken it up.
            self.settled(&id, "waiting_for_confirmation")?;
        }
        match self.settled(&id, "in_progress")?.as_str() {
            "completed" => Ok(()),
            other => bail!("the import ended as {other}"),
        }
    }

    /// The import's state once it is not `passing` any more.
    fn settled(&self, id: &Json, passing: &str) -> anyhow::Result<String> {
        loop {
            let query = json!({ "path": "_system/cli/queryImport", "args": id, "format": "json" });
            let told = self.post("/api/query", query.to_string().as_bytes())?;
            self.memory.look(self.server)?;
            let state = &told["value"]["state"];
            match state["state"].as_str() {
                None => bail!("the import is gone: {told}"),
                Some("failed") => bail!("the import failed: {}", state["error_message"]),
                Some(name) if name != passing => return Ok(name.to_string()),
                Some(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    fn post(&self, path: &str, body: &[u8]) -> anyhow::Result<Json> {
        self.server.address.post(path, self.key, body)
    }
}
