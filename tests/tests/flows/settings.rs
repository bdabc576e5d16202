//! Settings of a whole server, as people write them: users who may sign in, pages that may connect, and faults that
//! stop the start.

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{connect_async, tungstenite};
use vestibule_tests::process::{Chat, ChatOptions};

use super::chat;

/// A chat that logs to a file, and the log's path.
fn logging(data: &std::path::Path) -> (ChatOptions, std::path::PathBuf) {
    let log = data.join("log");
    (chat(data).log(&log), log)
}

fn read(log: &std::path::Path) -> String {
    std::fs::read_to_string(log).unwrap()
}

/// The status of a handshake by a page of this origin.
async fn handshake(chat: &Chat, origin: &str) -> u16 {
    let mut request = chat.sync_url().into_client_request().unwrap();
    request
        .headers_mut()
        .insert("origin", origin.parse().unwrap());
    match connect_async(request).await {
        Ok((mut socket, response)) => {
            socket.close(None).await.unwrap();
            response.status().as_u16()
        }
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_explicit_off_is_obeyed_where_no_issuer_is_given() {
    for off in ["false", "0", "no", "OFF"] {
        let data = tempfile::tempdir().unwrap();
        let (options, log) = logging(data.path());
        // As a compose file writes what it was not given.
        let options = options
            .variable("VESTIBULE_DEV", off)
            .variable("VESTIBULE_ISSUER", "");
        let running = options.start().unwrap();
        let refused = running.token("anybody").await.unwrap_err().to_string();
        assert!(refused.contains("404"), "{refused}");
        let channels = running.query("channels:list", serde_json::json!({})).await;
        assert!(channels.is_ok(), "{channels:?}");
        let said = read(&log);
        assert!(said.contains("nobody can sign in"), "{said}");
        assert_eq!(running.stop().unwrap(), Some(0));
    }
}

#[tokio::test]
async fn development_mode_says_so_at_the_start() {
    for arguments in [
        vec!["--listen", "127.0.0.1:0"],
        vec!["--listen", "localhost:0", "--dev"],
    ] {
        let data = tempfile::tempdir().unwrap();
        let (options, log) = logging(data.path());
        let running = options.arguments(&arguments).start().unwrap();
        running.token("anybody").await.unwrap();
        let said = read(&log);
        assert!(
            said.contains("WARN") && said.contains("development mode is on"),
            "{said}"
        );
    }
}

#[test]
fn development_mode_is_no_default_where_others_come_from_and_no_guess_of_a_misspelt_issuer() {
    let data = tempfile::tempdir().unwrap();
    let refused = |variables: &[(&str, &str)]| {
        let options = variables
            .iter()
            .fold(chat(data.path()), |options, (name, value)| {
                options.variable(name, value)
            });
        let (code, said) = options.run_to_end().unwrap();
        assert_ne!(code, Some(0), "{variables:?} started: {said}");
        said
    };
    let proxy = [("VESTIBULE_TRUSTED_PROXIES", "10.0.0.0/8")];
    let said = refused(&proxy);
    assert!(
        said.contains("--issuer") && said.contains("--dev=false"),
        "{said}"
    );
    let said = refused(&[proxy[0], ("VESTIBULE_DEV", "true")]);
    assert!(said.contains("behind a proxy"), "{said}");
    let said = refused(&[("VESTIBULE_ISSUR", "https://issuer.example")]);
    assert!(
        said.contains("VESTIBULE_ISSUR is no setting; VESTIBULE_ISSUER is"),
        "{said}"
    );
    let said = refused(&[("VESTIBULE_ISSUER", "https://issuer.example")]);
    assert!(said.contains("VESTIBULE_AUDIENCE"), "{said}");
}

#[tokio::test]
async fn every_spelling_of_an_origin_lets_its_pages_in_and_no_others() {
    let app = "https://app.example.com";
    for (spelling, lets_others_in) in [
        ("", true),
        ("*", true),
        ("https://app.example.com", false),
        ("https://app.example.com/", false),
        ("https://a.example, https://app.example.com", false),
        ("https://app.example.com:443", false),
        ("HTTPS://App.Example.com", false),
    ] {
        let data = tempfile::tempdir().unwrap();
        let (options, log) = logging(data.path());
        let running = options
            .variable("VESTIBULE_ALLOWED_ORIGINS", spelling)
            .start()
            .unwrap();
        assert_eq!(handshake(&running, app).await, 101, "{spelling:?}");
        let others = if lets_others_in { 101 } else { 403 };
        for _ in 0..3 {
            assert_eq!(
                handshake(&running, "https://other.example").await,
                others,
                "{spelling:?}"
            );
        }
        let said = read(&log);
        let told = said.matches("a WebSocket handshake was refused").count();
        assert_eq!(told, usize::from(!lets_others_in), "once a minute: {said}");
        if !lets_others_in {
            assert!(said.contains("https://other.example"), "{said}");
            let refused = r#"vestibule_http_refused_upgrades_total{code="OriginNotAllowed"}"#;
            assert_eq!(running.metric(refused).await.unwrap(), 3.0);
        }
    }
}

#[test]
fn what_is_no_origin_stops_the_start_with_the_value_and_a_right_one() {
    let data = tempfile::tempdir().unwrap();
    for wrong in [
        "app.example.com",
        "https://app.example.com/path",
        "https://*.example.com",
    ] {
        let options = chat(data.path()).variable("VESTIBULE_ALLOWED_ORIGINS", wrong);
        let (code, said) = options.run_to_end().unwrap();
        assert_ne!(code, Some(0), "{wrong} started: {said}");
        assert!(said.contains(&format!("{wrong:?}")), "{said}");
        assert!(
            said.contains("VESTIBULE_ALLOWED_ORIGINS=https://app.example.com"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn variables_that_are_set_to_nothing_are_not_given() {
    let data = tempfile::tempdir().unwrap();
    let names = vestibule_server::app::config::SETTINGS
        .iter()
        .map(|setting| setting.variable);
    let mut options = chat(data.path());
    for name in names
        .filter(|name| *name != "VESTIBULE_LOG")
        .chain(["CHAT_INVITE_DOMAIN"])
    {
        options = options
            .variable(name, "")
            .variable(&format!("{name}_FILE"), " ");
    }
    let running = options.start().unwrap();
    let token = running.token("ada").await.unwrap();
    let me = running
        .call("query", "users:me", serde_json::json!({}), Some(&token))
        .await;
    assert_eq!(me.unwrap()["name"], "ada");
}

#[tokio::test]
async fn a_secret_of_a_file_is_the_deployments() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("given");
    std::fs::write(&file, format!("{}\n", "0a".repeat(32))).unwrap();
    let options = chat(data.path()).variable("VESTIBULE_SECRET_FILE", file.to_str().unwrap());
    let running = options.start().unwrap();
    let secret = vestibule_server::auth::DeploymentSecret::from_bytes([10; 32]);
    let keys = vestibule_server::auth::AdminKeys::new("vestibule", &secret, Vec::new()).unwrap();
    let now = vestibule_server::clock::Clock::now(&vestibule_server::clock::SystemClock::new());
    let key = keys.mint(now, None).unwrap();
    let header = format!("Convex {}", key.text.expose());
    let answer = running
        .answer("query", "users:count", serde_json::json!({}), Some(header))
        .await;
    assert_eq!(answer.unwrap()["status"], "success");
    assert!(
        !data.path().join("secret").exists(),
        "nothing is made beside it"
    );
}
