//! A channel on the screen: messages as they come, the user's own at once, and news of the connection.

use std::collections::BTreeSet;
use std::io::{IsTerminal, stdout};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use vestibule_client::{
    CallError, Client, ConnectionStatus, LoginStatus, Provisioned, Status, Value, object,
};

const HELP: &str = "Type a message and press Enter. /name NAME renames you, /quit leaves.";

/// The prefix of a message's id before it has one.
const SENDING: &str = "sending ";

/// A message as `messages:list` shows it.
#[derive(Clone, Serialize, Deserialize)]
struct Message {
    #[serde(rename = "_id")]
    id: String,
    body: String,
    author: Author,
}

#[derive(Clone, Serialize, Deserialize)]
struct Author {
    name: String,
}

/// One person's view of one channel.
pub struct Conversation {
    client: Client<Provisioned>,
    name: String,
    channel: String,
    /// Ids of the messages on the screen.
    printed: BTreeSet<String>,
    /// Messages shown before they were stored: each line stands for its message when that comes.
    on_its_way: Vec<Message>,
    sent: usize,
    offline: bool,
}

impl Conversation {
    /// A conversation in `channel`.
    pub fn new(client: Client<Provisioned>, name: String, channel: String) -> Conversation {
        Conversation {
            client,
            name,
            channel,
            printed: BTreeSet::new(),
            on_its_way: Vec::new(),
            sent: 0,
            offline: false,
        }
    }

    /// Shows what comes and sends what is typed, until the input ends.
    pub async fn run(mut self) -> anyhow::Result<()> {
        println!("\n# {}    {HELP}\n", self.channel);
        let channel = object! { "channel" => self.channel.as_str() };
        let mut messages = self
            .client
            .subscribe::<Vec<Message>>("messages:list", &channel)?;
        let mut status = self.client.status();
        let mut lines = BufReader::new(stdin()).lines();
        let mut sending = futures_util::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                newest = messages.next() => match newest {
                    Some(newest) => self.show(newest?),
                    None => return Ok(()),
                },
                line = lines.next_line() => match line?.as_deref().map(str::trim) {
                    None | Some("/quit") => break,
                    Some("") => {}
                    Some(line) => {
                        forget_the_typed_line();
                        sending.extend(self.obey(line));
                    }
                },
                Some(sent) = sending.next() => self.sent(sent),
                Ok(()) = status.changed() => {
                    let status = status.borrow_and_update().clone();
                    self.note(&status);
                }
            }
        }
        while let Some(sent) = sending.next().await {
            self.sent(sent);
        }
        Ok(())
    }

    /// Sends a message, or does what a line with a slash says.
    fn obey(&mut self, line: &str) -> Option<vestibule_client::PendingCall<Value>> {
        if let Some(name) = line.strip_prefix("/name ") {
            self.name = name.trim().to_string();
            let rename = object! { "name" => name.trim() };
            return Some(self.client.mutation("users:rename", rename).send());
        }
        if line.starts_with('/') {
            println!("  {HELP}");
            return None;
        }
        let channel = object! { "channel" => self.channel.as_str() };
        self.sent += 1;
        let on_its_way = Message {
            id: format!("{SENDING}{}", self.sent),
            body: line.to_string(),
            author: Author {
                name: self.name.clone(),
            },
        };
        let send = object! { "channel" => self.channel.as_str(), "body" => line };
        let call = self
            .client
            .mutation("messages:send", send)
            // Shown at once, and replaced by the message itself in one step.
            .optimistic(move |store| {
                store.update("messages:list", &channel, |messages: &mut Vec<Message>| {
                    messages.insert(0, on_its_way.clone());
                });
            });
        Some(call.send())
    }

    fn show(&mut self, newest: Vec<Message>) {
        for message in newest.into_iter().rev() {
            if !self.printed.insert(message.id.clone()) {
                continue;
            }
            let is_own = |shown: &Message| {
                shown.body == message.body && shown.author.name == message.author.name
            };
            if message.id.starts_with(SENDING) {
                println!("  {:<12} {}", message.author.name, message.body);
                self.on_its_way.push(message);
            } else if let Some(own) = self.on_its_way.iter().position(is_own) {
                self.on_its_way.remove(own);
            } else {
                println!("  {:<12} {}", message.author.name, message.body);
            }
        }
    }

    fn sent(&self, sent: Result<Value, CallError>) {
        if let Err(error) = sent {
            println!("  ! {error}");
        }
    }

    /// Tells when the connection is lost and found, which requires no action.
    fn note(&mut self, status: &Status) {
        let is_offline = status.connection != ConnectionStatus::Connected;
        if let LoginStatus::Unprovisioned(reason) = &status.login {
            println!("  ! {reason}");
        }
        let is_back = !is_offline && status.login == LoginStatus::Provisioned;
        if is_offline && !self.offline {
            self.offline = true;
            println!("  … offline; what you send goes out when the chat is back");
        } else if is_back && self.offline {
            self.offline = false;
            println!("  … back");
        }
    }
}

/// On a screen, the line that was typed makes room for the message it became.
fn forget_the_typed_line() {
    if stdout().is_terminal() {
        print!("\x1b[1A\x1b[2K");
    }
}
