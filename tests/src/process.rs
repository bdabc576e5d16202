//! The chat as a process, which a test may stop, kill and start again on the same data.

use std::fmt::{Display, Formatter};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value as Json, json};
use vestibule_server::auth::{AdminKeys, DeploymentSecret};
use vestibule_server::clock::{Clock, SystemClock};

/// One client for all, because making one reads the system's certificates. With a thousand made in a row, the first
/// kept its connection silent for longer than the server waits. It keeps no connection, since each test has a runtime
/// of its own.
static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0);
    client.build().expect("the client needs nothing special")
});

/// The end of a process that was to become ready.
#[derive(Debug)]
pub struct EndedEarly(pub ExitStatus);

impl std::error::Error for EndedEarly {}

impl Display for EndedEarly {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "the chat ended before it was ready: {}", self.0)
    }
}

/// A running chat. Dropping it kills it.
pub struct Chat {
    child: Child,
    url: String,
}

/// How a chat is started.
pub struct ChatOptions {
    program: PathBuf,
    data: PathBuf,
    variables: Vec<(String, String)>,
    arguments: Vec<String>,
    log: Option<PathBuf>,
}

impl ChatOptions {
    /// The chat `program` in development mode on a free port of this machine.
    pub fn new(program: impl Into<PathBuf>, data: &Path) -> ChatOptions {
        ChatOptions {
            program: program.into(),
            data: data.to_path_buf(),
            variables: vec![("VESTIBULE_LOG".into(), "warn".into())],
            arguments: vec!["--listen".into(), "127.0.0.1:0".into()],
            log: None,
        }
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Sets an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// The command line, instead of the one that listens on a free port.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments
            .iter()
            .map(|argument| argument.to_string())
            .collect();
        self
    }

    /// Keeps what it says on stderr in a file.
    pub fn log(mut self, path: &Path) -> Self {
        self.log = Some(path.to_path_buf());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--data").arg(&self.data);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> anyhow::Result<Chat> {
        let mut command = self.command();
        if let Some(log) = &self.log {
            command.stderr(std::fs::File::create(log)?);
        }
        let mut child = command.spawn().context("the chat does not start")?;
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        while let Some(line) = lines.next().transpose()? {
            if let Some(at) = line.find("http://") {
                let url = line[at..].trim().to_string();
                // Keeps reading, so that the chat never meets a closed pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Chat { child, url });
            }
        }
        Err(EndedEarly(child.wait()?).into())
    }

    /// Starts it and kills it when `moment` comes, ready or not.
    pub fn start_and_kill(&self, moment: Duration) -> anyhow::Result<()> {
        let mut command = self.command();
        command.stdout(Stdio::null());
        let mut child = command.spawn().context("the chat does not start")?;
        std::thread::sleep(moment);
        // It may have ended by itself; then there is nothing to kill.
        let _ = child.kill();
        child.wait()?;
        Ok(())
    }

    /// Runs it to its end, which must come by itself, and returns its exit code and what it said on stderr.
    pub fn run_to_end(&self) -> anyhow::Result<(Option<i32>, String)> {
        let output = self.command().stderr(Stdio::piped()).output()?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }
}

impl Chat {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its address for HTTP clients.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its address for WebSockets.
    pub fn sync_url(&self) -> String {
        format!("{}/api/sync", self.url.replacen("http", "ws", 1))
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it as a power cut would, while others still talk to it.
    pub fn kill_now(&self) -> anyhow::Result<()> {
        Command::new("kill")
            .args(["-KILL", &self.child.id().to_string()])
            .status()?;
        Ok(())
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(self) -> anyhow::Result<Option<i32>> {
        self.ask_to_stop()?;
        self.wait()
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) -> anyhow::Result<()> {
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.child.wait()?.code())
    }

    /// A token of the development issuer for a person named by their subject.
    pub async fn token(&self, subject: &str) -> anyhow::Result<String> {
        self.token_for(json!({ "subject": subject, "name": subject }))
            .await
    }

    /// A token of the development issuer for the person in `request`.
    pub async fn token_for(&self, request: Json) -> anyhow::Result<String> {
        mint_token(&self.url, request).await
    }

    /// Status and body of `/healthz`.
    pub async fn health(&self) -> anyhow::Result<(u16, Json)> {
        let response = HTTP.get(format!("{}/healthz", self.url)).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        Ok(self.metrics(&[name]).await?[0])
    }

    /// The values of metrics, each by its name with its labels.
    pub async fn metrics(&self, names: &[&str]) -> anyhow::Result<Vec<f64>> {
        let response = HTTP.get(format!("{}/metrics", self.url)).send().await?;
        let text = response.error_for_status()?.text().await?;
        let value = |name: &&str| {
            let line = text.lines().find_map(|line| line.strip_prefix(*name));
            let value = line.with_context(|| format!("no {name} among the metrics"))?;
            Ok(value.trim().parse()?)
        };
        names.iter().map(value).collect()
    }

    /// Runs a query over HTTP.
    pub async fn query(&self, path: &str, args: Json) -> anyhow::Result<Json> {
        self.call("query", path, args, None).await
    }

    /// Calls a function over HTTP, as the identity in `token`.
    pub async fn call(
        &self,
        kind: &str,
        path: &str,
        args: Json,
        token: Option<&str>,
    ) -> anyhow::Result<Json> {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let answer = self.answer(kind, path, args, authorization).await?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["value"].clone()),
            _ => bail!("{path} failed: {answer}"),
        }
    }

    /// The server's answer to a call over HTTP, success or not.
    pub async fn answer(
        &self,
        kind: &str,
        path: &str,
        args: Json,
        authorization: Option<String>,
    ) -> anyhow::Result<Json> {
        let body = json!({ "path": path, "args": args, "format": "json" });
        let route = format!("/api/{kind}");
        let (status, answer) = post(&self.url, &route, &body, authorization.as_deref()).await?;
        anyhow::ensure!(status < 400, "{status}: {answer}");
        Ok(answer)
    }

    /// The newest commit, as text.
    pub async fn newest_commit(&self) -> anyhow::Result<String> {
        let request = HTTP.post(format!("{}/api/query_ts", self.url));
        let answer: Json = request.send().await?.error_for_status()?.json().await?;
        Ok(answer["ts"].as_str().context("no ts")?.to_string())
    }
}

/// Status and body of the answer to a POST. A body that is not JSON is null.
pub async fn post(
    url: &str,
    route: &str,
    body: &Json,
    authorization: Option<&str>,
) -> anyhow::Result<(u16, Json)> {
    let mut request = HTTP.post(format!("{url}{route}")).json(body);
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    let response = request.send().await?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// A token of the development issuer at `url` for the person in `request`.
pub async fn mint_token(url: &str, request: Json) -> anyhow::Result<String> {
    let response = HTTP
        .post(format!("{url}/dev/token"))
        .json(&request)
        .send()
        .await?;
    let answer: Json = response.error_for_status()?.json().await?;
    Ok(answer["token"]
        .as_str()
        .context("no token in the answer")?
        .to_string())
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A key to administer the deployment on a data directory, in the form of an `Authorization` header.
pub fn admin_authorization(data: &Path) -> anyhow::Result<String> {
    let secret = DeploymentSecret::load_or_create(data)?;
    let keys = AdminKeys::new("vestibule", &secret, Vec::new())?;
    let minted = keys.mint(SystemClock::new().now(), None)?;
    Ok(format!("Convex {}", minted.text.expose()))
}
