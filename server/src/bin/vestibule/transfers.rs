//! `vestibule import` and `vestibule export`: a deployment's data, without the tools of an app.

use std::fs::File;
use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use futures_util::TryStreamExt;
use serde_json::{Value as Json, json};
use vestibule_server::app::AdminClient;

/// Bytes that are sent at a time: the size that official tools choose.
const PART_BYTES: u64 = 5 << 20;
/// Larger files are sent in larger parts, of which there are at most so many.
const PARTS_MAX: u64 = 9_999;
/// How often the state of an import or an export is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The file to import, and its mode.
#[derive(Args)]
pub struct ImportArgs {
    /// A .csv, .jsonl, .json or .zip file.
    file: PathBuf,
    /// The table that it goes into. An archive names its own.
    #[arg(long)]
    table: Option<String>,
    /// The form of the file, where its name does not tell.
    #[arg(long)]
    format: Option<Format>,
    /// Keep what is in the table, and add to it.
    #[arg(long, group = "mode")]
    append: bool,
    /// Replace what is in the tables of the file.
    #[arg(long, group = "mode")]
    replace: bool,
    /// Replace all tables, and empty those that the file does not name.
    #[arg(long, group = "mode")]
    replace_all: bool,
    /// Do not ask before documents are deleted.
    #[arg(long, short)]
    yes: bool,
}

/// The place of the export, and its content.
#[derive(Args)]
pub struct ExportArgs {
    /// The archive to make, or a directory to make it in.
    #[arg(long, value_name = "FILE", default_value = ".")]
    path: PathBuf,
    /// With the contents of files.
    #[arg(long)]
    include_file_storage: bool,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "camelCase")]
enum Format {
    Csv,
    JsonLines,
    JsonArray,
    Zip,
}

impl ImportArgs {
    /// Sends the file, waits until the server has looked at it, and imports it.
    pub async fn run(self, client: AdminClient) -> anyhow::Result<()> {
        let format = self.format()?;
        let token = client.post("/api/import/start_upload", &Json::Null).await?;
        let token = token["uploadToken"].as_str().unwrap_or_default().to_owned();
        let parts = self.upload(&client, &token).await?;
        let import = json!({ "tableName": self.table, "mode": self.mode(), "format": format });
        let finish = json!({ "import": import, "uploadToken": token, "partTokens": parts });
        let made = client.post("/api/import/finish_upload", &finish).await?;
        let id = json!({ "importId": made["importId"] });
        let waiting = settled(&client, &id, "uploaded").await?;
        if let Some(message) = waiting["message_to_confirm"].as_str() {
            eprintln!("{message}");
        }
        let must_ask = waiting["require_manual_confirmation"] == json!(true);
        if must_ask && !self.yes && !is_confirmed()? {
            client.post("/api/cancel_import", &id).await?;
            bail!("nothing was imported: documents would be deleted, which --yes agrees to");
        }
        client.post("/api/perform_import", &id).await?;
        let done = settled(&client, &id, "in_progress").await?;
        let written = &done["num_rows_written"];
        let written = written
            .as_str()
            .map_or_else(|| written.to_string(), str::to_owned);
        println!("{written} documents imported");
        Ok(())
    }

    fn mode(&self) -> &'static str {
        match (self.append, self.replace, self.replace_all) {
            (true, _, _) => "append",
            (_, true, _) => "replace",
            (_, _, true) => "replaceAll",
            (false, false, false) => "requireEmpty",
        }
    }

    fn format(&self) -> anyhow::Result<&'static str> {
        let by_name = || match self.file.extension()?.to_str()? {
            "csv" => Some(Format::Csv),
            "jsonl" => Some(Format::JsonLines),
            "json" => Some(Format::JsonArray),
            "zip" => Some(Format::Zip),
            _ => None,
        };
        let Some(format) = self.format.or_else(by_name) else {
            bail!(
                "{} does not end in .csv, .jsonl, .json or .zip: say what it is with --format",
                self.file.display()
            );
        };
        match (format, &self.table) {
            (Format::Zip, Some(_)) => {
                bail!("an archive names its tables itself: leave out --table")
            }
            (Format::Csv | Format::JsonLines | Format::JsonArray, None) => {
                bail!("say which table the file goes into with --table")
            }
            (Format::Csv, Some(_)) => Ok("csv"),
            (Format::JsonLines, Some(_)) => Ok("jsonLines"),
            (Format::JsonArray, Some(_)) => Ok("jsonArray"),
            (Format::Zip, None) => Ok("zip"),
        }
    }

    async fn upload(&self, client: &AdminClient, token: &str) -> anyhow::Result<Vec<Json>> {
        let unreadable = || format!("{} cannot be read", self.file.display());
        let mut file = File::open(&self.file).with_context(unreadable)?;
        let bytes = file.metadata().with_context(unreadable)?.len();
        let part_bytes = PART_BYTES.max(bytes.div_ceil(PARTS_MAX));
        let mut parts = Vec::new();
        loop {
            let mut part = Vec::new();
            let mut rest = (&mut file).take(part_bytes);
            rest.read_to_end(&mut part).with_context(unreadable)?;
            if part.is_empty() {
                return Ok(parts);
            }
            let number = parts.len() + 1;
            let path = format!("/api/import/upload_part?uploadToken={token}&partNumber={number}");
            parts.push(client.post_bytes(&path, part).await?);
        }
    }
}

/// The state of an import once it is not `passing` any more.
async fn settled(client: &AdminClient, id: &Json, passing: &str) -> anyhow::Result<Json> {
    let mut told = 0;
    loop {
        let import = client.query("_system/cli/queryImport", id.clone()).await?;
        let state = &import["state"];
        let checkpoints = state["checkpoint_messages"].as_array();
        for message in checkpoints.into_iter().flatten().skip(told) {
            eprintln!("{}", message.as_str().unwrap_or_default());
            told += 1;
        }
        match state["state"].as_str() {
            Some("failed") => bail!("{}", state["error_message"].as_str().unwrap_or_default()),
            Some(name) if name != passing => return Ok(state.clone()),
            Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            None => bail!("the import is gone"),
        }
    }
}

/// Asks on a terminal; elsewhere the answer is no.
fn is_confirmed() -> anyhow::Result<bool> {
    let mut stdin = std::io::stdin().lock();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    eprint!("Go on? (y/N) ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin.read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

impl ExportArgs {
    /// Makes an archive on the server, and fetches it.
    pub async fn run(self, client: AdminClient) -> anyhow::Result<()> {
        let path = format!(
            "/api/export/request/zip?includeStorage={}",
            self.include_file_storage
        );
        let latest = "_system/cli/exports:getLatest";
        let before = client.query(latest, json!({})).await?;
        client.post(&path, &Json::Null).await?;
        let export = loop {
            let export = client.query(latest, json!({})).await?;
            if export["_id"] != before["_id"] {
                match export["state"].as_str() {
                    Some("completed") => break export,
                    Some("requested" | "in_progress") => {}
                    _ => bail!("the export failed: the server's log says why"),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let id = export["_id"].as_str().unwrap_or_default();
        let ts = &export["start_ts"];
        let ts = ts.as_str().map_or_else(|| ts.to_string(), str::to_owned);
        if self.path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            std::fs::create_dir_all(&self.path)?;
        }
        let target = match self.path.is_dir() {
            true => self.path.join(format!("snapshot_{ts}.zip")),
            false => self.path,
        };
        fetch(&client, id, &target).await?;
        println!("{}", target.display());
        Ok(())
    }
}

/// Writes beside the target first, so that what stands there in the end is whole.
async fn fetch(client: &AdminClient, id: &str, target: &Path) -> anyhow::Result<()> {
    let unwritable = || format!("{} cannot be written", target.display());
    if target.exists() {
        bail!("{} is there already", target.display());
    }
    let mut name = target.file_name().with_context(unwritable)?.to_owned();
    name.push(".part");
    let arriving = target.with_file_name(name);
    let mut file = File::create(&arriving).with_context(unwritable)?;
    let written = async {
        let mut content = client.download(&format!("/api/export/zip/{id}")).await?;
        while let Some(bytes) = content.try_next().await? {
            file.write_all(&bytes).with_context(unwritable)?;
        }
        file.sync_all().with_context(unwritable)?;
        std::fs::rename(&arriving, target).with_context(unwritable)
    };
    let written: anyhow::Result<()> = written.await;
    if written.is_err() {
        // Its remains are of no use; the failure is reported.
        let _ = std::fs::remove_file(&arriving);
    }
    written
}
