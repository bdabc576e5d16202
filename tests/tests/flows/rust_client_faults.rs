//! Our own Rust client over lost connections, killed servers, expiring tokens and changing users.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use vestibule_client::{
    CallError, Client, ClientOptions, ConnectionStatus, FixedToken, LoginEnd, LoginStatus,
    Provisioned, SubscriptionError, TokenError, TokenSource, Value, object,
};
use vestibule_tests::process::{Chat, mint_token};
use vestibule_tests::proxy::Proxy;

use super::rust_client::{bodies, general, message, next, sign_in};

/// Far more than anything here takes, so that a test that hangs fails instead.
const LONG: Duration = Duration::from_secs(120);

/// A user whose client reaches the chat over a wire that can be cut.
async fn sign_in_over(proxy: &Proxy, chat: &Chat, subject: &str) -> Client<Provisioned> {
    let token = FixedToken(chat.token(subject).await.unwrap());
    let quickly = Duration::from_millis(20);
    let options = ClientOptions::default().backoff(quickly, quickly * 10);
    let client = Client::connect_with(&proxy.url(), options).await.unwrap();
    let client = client.authenticate(token).await.unwrap();
    client.ensure_user().await.unwrap()
}

async fn until(client: &Client<Provisioned>, wanted: impl Fn(&vestibule_client::Status) -> bool) {
    let mut status = client.status();
    let reached = timeout(LONG, status.wait_for(|status| wanted(status)));
    reached.await.expect("the status is reached").unwrap();
}

async fn sent_messages(chat: &Chat) -> Vec<serde_json::Value> {
    let args = json!({ "channel": "general" });
    let messages = chat.query("messages:list", args).await.unwrap();
    messages.as_array().unwrap().clone()
}

async fn until_committed(chat: &Chat, messages: usize) {
    let committed = async {
        while sent_messages(chat).await.len() < messages {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, committed).await.expect("it commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unanswered_mutations_survive_kill_9_exactly_once_and_in_order() {
    const MESSAGES: usize = 300;
    let data = tempfile::tempdir().unwrap();
    let options = super::chat(data.path()).arguments(&["--listen", &super::free_address()]);
    let chat = options.start().unwrap();
    let client = sign_in(&chat, "ada").await;
    let channels = ["general", "random", "help"];
    let calls: Vec<_> = (0..MESSAGES)
        .map(|number| {
            let mut args = message(&number.to_string());
            args.insert("channel".to_string(), Value::from(channels[number % 3]));
            client.mutation::<Value>("messages:send", args).send()
        })
        .collect();
    let mut answers = futures_util::stream::FuturesUnordered::from_iter(calls);
    let mut answered = 0;
    let mut chat = Some(chat);
    while let Some(answer) = timeout(LONG, answers.next()).await.expect("the calls end") {
        answer.unwrap();
        answered += 1;
        if answered % 40 == 1 {
            chat.take().unwrap().kill();
            chat = Some(options.start().unwrap());
        }
    }
    assert_eq!(answered, MESSAGES);
    for (index, channel) in channels.iter().enumerate() {
        let args =
            json!({ "channel": channel, "paginationOpts": { "numItems": 500, "cursor": null } });
        let page = chat
            .as_ref()
            .unwrap()
            .query("messages:page", args)
            .await
            .unwrap();
        let stored: Vec<String> = page["page"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["body"].as_str().unwrap().to_string())
            .collect();
        let sent: Vec<String> = (0..MESSAGES)
            .rev()
            .filter(|number| number % 3 == index)
            .map(|number| number.to_string())
            .collect();
        assert_eq!(stored, sent);
    }
}

#[tokio::test]
async fn a_mutation_whose_answer_is_lost_runs_once_and_is_answered() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let proxy = Proxy::start(chat.url()).await.unwrap();
    let client = sign_in_over(&proxy, &chat, "ada").await;
    let messages = client
        .subscribe::<Vec<Value>>("messages:list", general())
        .unwrap();
    proxy.mute_server();
    let sent = client
        .mutation::<Value>("messages:send", message("once"))
        .send();
    until_committed(&chat, 1).await;
    proxy.cut();
    timeout(LONG, sent).await.unwrap().unwrap();
    assert_eq!(bodies(&messages.latest().unwrap().unwrap()), ["once"]);
    assert_eq!(sent_messages(&chat).await.len(), 1);
}

#[tokio::test]
async fn after_a_change_of_users_unanswered_mutations_are_rejected_and_never_run_as_the_other() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let proxy = Proxy::start(chat.url()).await.unwrap();
    let ada = sign_in_over(&proxy, &chat, "ada").await;
    let mut me = ada.subscribe::<Value>("users:me", ()).unwrap();
    next(&mut me).await.unwrap();

    // One that the server ran though its answer was lost, one that it never heard of.
    proxy.mute_server();
    let ran = ada
        .mutation::<Value>("messages:send", message("ran"))
        .send();
    until_committed(&chat, 1).await;
    proxy.go_down();
    until(&ada, |status| {
        status.connection != ConnectionStatus::Connected
    })
    .await;
    let unsent = ada
        .mutation::<Value>("messages:send", message("never"))
        .send();

    let token = FixedToken(chat.token("grace").await.unwrap());
    let grace = ada.switch_user(token).await.unwrap();
    for (call, expected) in [(ran, true), (unsent, false)] {
        let error = timeout(LONG, call).await.unwrap().unwrap_err();
        let CallError::LoginEnded { end, may_have_run } = error else {
            panic!("{error:?}")
        };
        assert_eq!((end, may_have_run), (LoginEnd::IdentityChanged, expected));
    }
    assert!(matches!(
        next(&mut me).await,
        Err(SubscriptionError::LoginEnded(LoginEnd::IdentityChanged))
    ));

    proxy.cut();
    let grace = timeout(LONG, grace.ensure_user()).await.unwrap().unwrap();
    let _: Value = grace
        .mutation("messages:send", message("from grace"))
        .await
        .unwrap();
    let stored: Vec<(String, String)> = sent_messages(&chat)
        .await
        .iter()
        .map(|message| {
            let text = |json: &serde_json::Value| json.as_str().unwrap().to_string();
            (text(&message["author"]["name"]), text(&message["body"]))
        })
        .collect();
    let expected = [("grace", "from grace"), ("ada", "ran")];
    assert_eq!(
        stored,
        expected.map(|(name, body)| (name.to_string(), body.to_string()))
    );
}

/// Tokens of ada that last a few seconds, counted, and none at all while `is_away`.
fn short_tokens(
    chat: &Chat,
    seconds: u64,
    fetched: watch::Sender<usize>,
    is_away: Arc<AtomicBool>,
) -> impl TokenSource + use<> {
    let url = chat.url().to_string();
    move |_: bool| {
        let (url, fetched, is_away) = (url.clone(), fetched.clone(), is_away.clone());
        async move {
            if is_away.load(Ordering::SeqCst) {
                return Err(TokenError::unavailable("the provider is away"));
            }
            let ada = json!({ "subject": "ada", "name": "ada", "expiresInSeconds": seconds });
            let token = mint_token(&url, ada).await;
            fetched.send_modify(|fetched| *fetched += 1);
            token.map_err(TokenError::unavailable)
        }
    }
}

#[tokio::test]
async fn a_token_is_replaced_ahead_of_its_end_without_a_flicker() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let proxy = Proxy::start(chat.url()).await.unwrap();
    let (fetched, mut fetches) = watch::channel(0);
    let tokens = short_tokens(&chat, 8, fetched, Arc::default());
    let options = ClientOptions::default().refresh_before(Duration::from_secs(6));
    let client = Client::connect_with(&proxy.url(), options).await.unwrap();
    let client = client.authenticate(tokens).await.unwrap();
    let client = client.ensure_user().await.unwrap();
    let mut me = client.subscribe::<Value>("users:me", ()).unwrap();
    next(&mut me).await.unwrap();
    let mut status = client.status();
    status.mark_unchanged();
    let replaced = async {
        tokio::select! {
            changed = status.changed() => panic!("the status became another: {changed:?}"),
            flicker = me.next() => panic!("a result came: {flicker:?}"),
            fetched = fetches.wait_for(|fetched| *fetched >= 4) => drop(fetched.unwrap()),
        }
    };
    timeout(LONG, replaced).await.expect("tokens are replaced");
    let _: Value = client
        .mutation("messages:send", message("still here"))
        .await
        .unwrap();
    assert_eq!(proxy.accepted(), 1, "on the same connection");
}

#[tokio::test]
async fn without_a_token_to_be_had_the_user_is_never_a_guest() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let is_away = Arc::new(AtomicBool::new(false));
    let (fetched, _fetches) = watch::channel(0);
    let tokens = short_tokens(&chat, 3, fetched, is_away.clone());
    let client = Client::connect(chat.url()).await.unwrap();
    let client = client.authenticate(tokens).await.unwrap();
    let client = client.ensure_user().await.unwrap();
    let mut me = client.subscribe::<Value>("users:me", ()).unwrap();
    let ada = next(&mut me).await.unwrap();
    is_away.store(true, Ordering::SeqCst);

    // The server notices the end of a token when there is something to do.
    let rename = || {
        let same = object! { "name" => "ada" };
        client.mutation::<Value>("users:rename", same).send()
    };
    let mut status = client.status();
    let waiting = loop {
        let mut call = rename();
        tokio::select! {
            renamed = &mut call => drop(renamed.unwrap()),
            refreshing = status.wait_for(|status| status.login == LoginStatus::Refreshing) => {
                drop(refreshing.unwrap());
                break call;
            }
        }
    };
    assert_eq!(
        me.latest().unwrap().unwrap(),
        ada,
        "the newest result stays"
    );
    is_away.store(false, Ordering::SeqCst);
    timeout(LONG, waiting).await.unwrap().unwrap();
    assert_eq!(me.latest().unwrap().unwrap(), ada);
}

#[tokio::test]
async fn a_server_that_drains_and_comes_back_is_found_again() {
    let data = tempfile::tempdir().unwrap();
    let options = super::chat(data.path()).arguments(&["--listen", &super::free_address()]);
    let chat = options.start().unwrap();
    let client = sign_in(&chat, "ada").await;
    let mut messages = client
        .subscribe::<Vec<Value>>("messages:list", general())
        .unwrap();
    assert!(next(&mut messages).await.unwrap().is_empty());
    assert_eq!(chat.stop().unwrap(), Some(0));
    until(&client, |status| {
        status.connection != ConnectionStatus::Connected
    })
    .await;
    let offline = client
        .mutation::<Value>("messages:send", message("while it was away"))
        .send();
    let _chat = options.start().unwrap();
    timeout(LONG, offline).await.unwrap().unwrap();
    assert_eq!(
        bodies(&next(&mut messages).await.unwrap()),
        ["while it was away"]
    );
    let status = client.status().borrow().clone();
    assert_eq!(status.connection, ConnectionStatus::Connected);
    assert_eq!(status.login, LoginStatus::Provisioned);
}
