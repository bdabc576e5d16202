//! Every setting in every spelling, with its outcome. A setting without a row fails.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Command;

use super::*;
use crate::app::config::{SETTINGS, SiteListen};
use crate::app::{Bounds, Config, LogFormat};
use crate::functions::{JsOptions, NodeProgram};
use crate::http::HttpOptions;
use crate::jobs::JobsOptions;
use crate::outbound::Network;

/// The outcome of a spelling.
enum Outcome {
    /// As if nothing had been said.
    NotGiven,
    /// The setting's part of the configuration, as text.
    Is(&'static str),
    /// The start is refused: with the value, this reason, and a right value.
    Refused(&'static str),
}

use Outcome::{Is, NotGiven, Refused};

/// The settings it requires, so that it can be given alone.
fn beside(setting: &Setting) -> &'static [(&'static str, &'static str)] {
    match setting.variable {
        "VESTIBULE_ISSUER" => &[("VESTIBULE_AUDIENCE", "convex")],
        "VESTIBULE_AUDIENCE" => &[("VESTIBULE_ISSUER", "https://issuer.example")],
        _ => &[],
    }
}

const SECRET_HEX: &str = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff";

#[rustfmt::skip]
const TABLE: &[(&str, &[(&str, Outcome)])] = &[
    ("VESTIBULE_LISTEN", &[
        ("", NotGiven), ("  ", NotGiven),
        ("0.0.0.0:80", Is("0.0.0.0:80")), (" 127.0.0.1:3210\n", Is("127.0.0.1:3210")),
        ("localhost:3210", Is("127.0.0.1:3210")), ("LOCALHOST:8080", Is("127.0.0.1:8080")), ("localhost", Is("127.0.0.1:3210")),
        (":8080", Is("0.0.0.0:8080")), ("*:8080", Is("0.0.0.0:8080")), ("8080", Is("127.0.0.1:8080")),
        ("0.0.0.0", Is("0.0.0.0:3210")), ("[::1]:80", Is("[::1]:80")), ("::1", Is("[::1]:3210")), ("[::]", Is("[::]:3210")),
        ("http://localhost:3210", Refused("not an address")), ("localhost:http", Refused("not an address")),
        ("127.0.0.1:70000", Refused("not an address")), ("no such host:1", Refused("not an address")),
    ]),
    ("VESTIBULE_SITE_LISTEN", &[
        ("", NotGiven), ("off", Is("off")), ("3211", Is("127.0.0.1:3211")), ("0.0.0.0", Is("0.0.0.0:3211")), ("[::1]:80", Is("[::1]:80")),
        ("http://localhost:3211", Refused("not an address")),
    ]),
    ("VESTIBULE_DATA", &[
        ("", NotGiven), (" ", NotGiven), ("/var/lib/vestibule", Is("/var/lib/vestibule")), (" data ", Is("data")),
    ]),
    ("VESTIBULE_DEV", &[
        ("", NotGiven), (" ", NotGiven), ("true", Is("on")), ("TRUE", Is("on")), ("1", Is("on")), ("yes", Is("on")), ("on ", Is("on")),
        ("false", Is("off")), ("False", Is("off")), ("0", Is("off")), ("no", Is("off")), ("off", Is("off")),
        ("production", Refused("neither true nor false")), ("2", Refused("neither true nor false")),
    ]),
    ("VESTIBULE_DEV_ISSUER", &[
        ("", NotGiven), ("on", Is("on")), ("0", Is("off")), ("loopback", Refused("neither true nor false")),
    ]),
    ("VESTIBULE_ISSUER", &[
        ("https://app.clerk.accounts.dev", Is("https://app.clerk.accounts.dev")),
        (" HTTPS://App.Clerk.Accounts.Dev ", Is("https://app.clerk.accounts.dev")),
        ("https://issuer.example:443/Tenant/", Is("https://issuer.example/Tenant/")),
        ("http://localhost:8080/realms/A", Is("http://localhost:8080/realms/A")),
        ("app.clerk.accounts.dev", Is("app.clerk.accounts.dev")),
    ]),
    ("VESTIBULE_AUDIENCE", &[("convex", Is("convex")), (" convex\n", Is("convex"))]),
    ("VESTIBULE_AUTH_CONFIG", &[
        ("", NotGiven), ("\n", NotGiven), (r#" {"providers":[]} "#, Is(r#"{"providers":[]}"#)),
    ]),
    ("VESTIBULE_NAME", &[("", NotGiven), (" ", NotGiven), (" happy-otter-123 ", Is("happy-otter-123"))]),
    ("VESTIBULE_ORIGIN", &[
        ("", NotGiven), ("https://api.example.com", Is("https://api.example.com")),
        (" HTTPS://API.example.com:443/ ", Is("https://api.example.com")), ("http://localhost:3210/base/", Is("http://localhost:3210/base")),
        ("api.example.com", Refused("not an http or https URL")), ("ftp://api.example.com", Refused("not an http or https URL")),
        ("https://api.example.com/?x", Refused("not an http or https URL")),
    ]),
    ("VESTIBULE_SITE_ORIGIN", &[
        (" ", NotGiven), ("https://site.example.com/", Is("https://site.example.com")), ("site", Refused("not an http or https URL")),
    ]),
    ("VESTIBULE_ENV", &[
        ("", NotGiven), ("# none", NotGiven), ("A=1", Is("A=1")), (" A = a, b=c ", Is("A=a, b=c")), ("A=", Is("A=")),
        ("A=\"two words\"\n# more\n\nB='2'", Is("A=two words\nB=2")),
        ("A", Refused("it holds no =")), ("1A=x", Refused("must begin with a letter")),
        ("CONVEX_SITE_URL=x", Refused("built-in")),
    ]),
    ("VESTIBULE_ALLOWED_ORIGINS", &[
        ("", NotGiven), (" ", NotGiven), (",", NotGiven), ("*", NotGiven), ("https://app.example.com, *", NotGiven),
        ("https://app.example.com", Is("https://app.example.com")),
        ("https://app.example.com/", Is("https://app.example.com")),
        ("https://app.example.com:443", Is("https://app.example.com")),
        ("http://localhost:80/,", Is("http://localhost")),
        ("HTTPS://APP.example.com", Is("https://app.example.com")),
        ("https://a.example, https://app.example.com", Is("https://a.example https://app.example.com")),
        ("https://a.example\nhttps://b.example", Is("https://a.example https://b.example")),
        ("capacitor://localhost", Is("capacitor://localhost")),
        ("app.example.com", Refused("no scheme")), ("https://app.example.com/chat", Refused("ends after its host and port")),
        ("https://*.example.com", Refused("without a *")), ("https://", Refused("does not parse")),
        ("null", Refused("no scheme")), ("https://a.example,b.example", Refused("no scheme")),
        (r#""https://app.example.com""#, Refused("does not parse")),
    ]),
    ("VESTIBULE_FIRST_LOGINS_PER_MINUTE", &[
        ("", NotGiven), (" ", NotGiven), ("600", Is("600")), (" 600 ", Is("600")), ("1_000", Is("1000")),
        ("0", Refused("from 1 on")), ("-1", Refused("from 1 on")), ("many", Refused("from 1 on")), ("1.5", Refused("from 1 on")),
    ]),
    ("VESTIBULE_PROVISION_WITH", &[
        ("", NotGiven), (" ", NotGiven), ("users:store", Is("users:store")), (" none ", Is("none")),
    ]),
    ("VESTIBULE_PROVISION_WHEN", &[
        ("", NotGiven), (" users.by_clerk_id:subject ", Is("users.by_clerk_id:subject")),
    ]),
    ("VESTIBULE_TRUSTED_PROXIES", &[
        ("", NotGiven), (" , ", NotGiven),
        ("10.0.0.1", Is("10.0.0.1/32")), ("10.0.0.0/8, 172.16.0.0/12 ,::1", Is("10.0.0.0/8 172.16.0.0/12 ::1/128")),
        ("fd00::/8", Is("fd00::/8")),
        ("proxy", Refused("neither an IP address")), ("10.0.0.0/33", Refused("neither an IP address")),
        ("10.0.0.1:80", Refused("neither an IP address")),
    ]),
    ("VESTIBULE_FETCH_ALLOW", &[
        ("", NotGiven), ("10.0.0.1", Is("10.0.0.1/32")), ("10.0.0.0/8, fd00::/8", Is("10.0.0.0/8 fd00::/8")),
        ("inside", Refused("neither an IP address")), ("10.0.0.0/33", Refused("neither an IP address")),
    ]),
    ("VESTIBULE_DOCUMENT_CACHE_MIB", &[
        ("", NotGiven), ("512", Is("512")), (" 1_024 ", Is("1024")),
        ("0", Refused("from 1 on")), ("512MiB", Refused("from 1 on")), ("-1", Refused("from 1 on")),
    ]),
    ("VESTIBULE_NATIVE_HEADS", &[
        ("", NotGiven), ("yes", Is("on")), ("off", Is("off")), ("fast", Refused("neither true nor false")),
    ]),
    ("VESTIBULE_NODE", &[
        ("", NotGiven), ("off", Is("off")), ("OFF", Is("off")), (" /usr/bin/node ", Is("/usr/bin/node")),
    ]),
    ("VESTIBULE_NODE_PACKAGES", &[("", NotGiven), ("on", Is("on")), ("sharp", Refused("neither true nor false"))]),
    ("VESTIBULE_NODE_ADDONS", &[("", NotGiven), ("1", Is("on")), ("sharp", Refused("neither true nor false"))]),
    ("VESTIBULE_NODE_MEMORY_MAX", &[("", NotGiven), ("1GiB", Is("1073741824")), ("much", Refused("bytes"))]),
    ("VESTIBULE_JOBS_AT_ONCE", &[("", NotGiven), ("8", Is("8")), ("0", Refused("from 1 on")), ("all", Refused("from 1 on"))]),
    ("VESTIBULE_JOBS_KEPT", &[("", NotGiven), ("0", Is("0")), ("1_000", Is("1000")), ("-1", Refused("not a whole number"))]),
    ("VESTIBULE_ACTIONS_AT_ONCE", &[("", NotGiven), ("1", Is("1")), ("0", Refused("from 1 on"))]),
    ("VESTIBULE_ACTIONS_BYTES_MAX", &[("", NotGiven), ("64MiB", Is("67108864")), ("0", Refused("not a number of bytes"))]),
    ("VESTIBULE_CALL_MEMORY_MAX", &[
        ("", NotGiven), ("16MiB", Is("16777216")), ("8GiB", Is("8589934592")), ("32MB", Refused("not a number of bytes")),
        ("1KiB", Refused("from 16MiB to 8GiB")), ("16777215", Refused("from 16MiB to 8GiB")), ("8589934593", Refused("from 16MiB to 8GiB")),
        ("32TiB", Refused("from 16MiB to 8GiB")),
    ]),
    ("VESTIBULE_SPARE_THREADS", &[("", NotGiven), ("8", Is("8")), ("0", Refused("from 1 on"))]),
    ("VESTIBULE_QUERY_TIME_MAX", &[
        ("", NotGiven), ("1500ms", Is("1.5s")), ("2 s", Is("2s")), ("1", Refused("not a time")), ("0s", Refused("not a time")),
        ("1.5s", Refused("not a time")), ("forever", Refused("not a time")), ("999999999999d", Refused("not a time")),
    ]),
    ("VESTIBULE_MUTATION_TIME_MAX", &[("", NotGiven), ("1min", Is("60s")), ("1m", Refused("not a time"))]),
    ("VESTIBULE_ACTION_TIME_MAX", &[("", NotGiven), ("1h", Is("3600s")), ("h", Refused("not a time"))]),
    ("VESTIBULE_ACTION_STEP_MAX", &[("", NotGiven), ("90s", Is("90s")), ("90", Refused("not a time"))]),
    ("VESTIBULE_REQUESTS_AT_ONCE", &[("", NotGiven), ("2_048", Is("2048")), ("0", Refused("from 1 on"))]),
    ("VESTIBULE_FILE_BYTES_MAX", &[
        ("", NotGiven), ("1000", Is("1000")), ("1 KiB", Is("1024")), ("2mib", Is("2097152")),
        ("0", Refused("not a number of bytes")), ("1MB", Refused("not a number of bytes")), ("much", Refused("not a number of bytes")),
        ("99999999999TiB", Refused("not a number of bytes")),
    ]),
    ("VESTIBULE_FILES_BYTES_MAX", &[("", NotGiven), ("1GiB", Is("1073741824")), ("-1", Refused("not a number of bytes"))]),
    ("VESTIBULE_UPLOADS_AT_ONCE", &[("", NotGiven), ("3", Is("3")), ("none", Refused("from 1 on"))]),
    ("VESTIBULE_DOWNLOADS_AT_ONCE", &[("", NotGiven), ("3", Is("3")), ("0", Refused("from 1 on"))]),
    ("VESTIBULE_UPLOAD_TIME_MAX", &[("", NotGiven), ("90s", Is("90s")), ("90", Refused("not a time"))]),
    ("VESTIBULE_IMPORT_BYTES_MAX", &[("", NotGiven), ("1TiB", Is("1099511627776")), ("1T", Refused("not a number of bytes"))]),
    ("VESTIBULE_IMPORT_UNPACKED_BYTES_MAX", &[("", NotGiven), ("5", Is("5")), ("x", Refused("not a number of bytes"))]),
    ("VESTIBULE_IMPORT_KEPT", &[("", NotGiven), ("1d", Is("86400s")), ("1w", Refused("not a time"))]),
    ("VESTIBULE_EXPORT_KEPT", &[("", NotGiven), ("12h", Is("43200s")), ("soon", Refused("not a time"))]),
    ("VESTIBULE_LOG_KEPT", &[("", NotGiven), ("2d", Is("172800s")), ("2w", Refused("not a time"))]),
    ("VESTIBULE_LOSE_COMMITS_AFTER", &[("", NotGiven), ("1767225600000000000", Is("1767225600000000000")), ("0", Is("0")), ("all", Refused("not a whole number"))]),
    ("VESTIBULE_LOG_FORMAT", &[
        ("", NotGiven), ("text", NotGiven), ("json", Is("json")), (" JSON ", Is("json")), ("xml", Refused("neither text nor json")),
    ]),
    ("VESTIBULE_REDACT", &[
        ("", NotGiven), ("true", Is("on")), ("No", Is("off")), ("maybe", Refused("neither true nor false")),
    ]),
    ("VESTIBULE_LOG", &[
        ("", NotGiven), ("debug", NotGiven), (" vestibule_server::sync=debug,warn ", NotGiven), ("a=b=c", Refused("level filter")),
    ]),
    ("VESTIBULE_SECRET", &[
        ("", NotGiven), (SECRET_HEX, Is("a secret")), (" 00 ", Refused("64 digits")), ("hunter2", Refused("64 digits")),
    ]),
];

fn command() -> Command {
    augment(Command::new("server"), SETTINGS)
}

fn read(arguments: &[&str], environment: &Environment) -> Result<Config, SettingError> {
    let arguments = [&["server"], arguments].concat();
    let matches = command().try_get_matches_from(arguments).unwrap();
    Config::read(&Given::new(&matches, environment))
}

/// A setting's part of a configuration; `None` when it has its default.
fn part(config: &Config, variable: &str) -> Option<String> {
    let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
    let unless = |text: String, default: &str| (text != default).then_some(text);
    match variable {
        "VESTIBULE_LISTEN" => Some(config.listen.to_string()),
        "VESTIBULE_SITE_LISTEN" => config.site_listen.map(|site| match site {
            SiteListen::Off => "off".to_owned(),
            SiteListen::At(address) => address.to_string(),
        }),
        "VESTIBULE_DATA" => unless(config.data.display().to_string(), "vestibule-data"),
        "VESTIBULE_DEV" => config.dev.map(switch),
        "VESTIBULE_DEV_ISSUER" => config.dev_issuer.map(switch),
        "VESTIBULE_ENV" => variables(config),
        "VESTIBULE_ISSUER" => config.issuer.clone(),
        "VESTIBULE_AUDIENCE" => config.audience.clone(),
        "VESTIBULE_AUTH_CONFIG" => config.auth_config.clone(),
        "VESTIBULE_NAME" => unless(config.name.clone(), "vestibule"),
        "VESTIBULE_ORIGIN" => config.origin.clone(),
        "VESTIBULE_SITE_ORIGIN" => config.site_origin.clone(),
        "VESTIBULE_ALLOWED_ORIGINS" => config.allowed_origins.as_ref().map(|list| list.join(" ")),
        "VESTIBULE_FIRST_LOGINS_PER_MINUTE" => config
            .first_logins_per_minute
            .map(|bound| bound.to_string()),
        "VESTIBULE_PROVISION_WITH" => config.provision_with.clone(),
        "VESTIBULE_PROVISION_WHEN" => config.provision_when.clone(),
        "VESTIBULE_TRUSTED_PROXIES" => networks(&config.trusted_proxies),
        "VESTIBULE_FETCH_ALLOW" => networks(&config.fetch_allow),
        "VESTIBULE_DOCUMENT_CACHE_MIB" => config.document_cache_mib.map(|mib| mib.to_string()),
        "VESTIBULE_LOG_FORMAT" => (config.log_format == LogFormat::Json).then(|| "json".to_owned()),
        "VESTIBULE_REDACT" => config.redact.map(switch),
        "VESTIBULE_NODE" => match &config.node {
            NodeProgram::OnPath => None,
            NodeProgram::Off => Some("off".into()),
            NodeProgram::At(path) => Some(path.display().to_string()),
        },
        "VESTIBULE_NODE_PACKAGES" => Some(switch(config.node_packages)),
        "VESTIBULE_NODE_ADDONS" => Some(switch(config.node_addons)),
        "VESTIBULE_NODE_MEMORY_MAX" => config.bounds.node_memory_max.map(|it| it.to_string()),
        "VESTIBULE_NATIVE_HEADS" => Some(switch(config.native_heads)),
        "VESTIBULE_LOG" => None,
        "VESTIBULE_SECRET" => config.secret.as_ref().map(|_| "a secret".to_owned()),
        bound => bound_of(&config.bounds, bound),
    }
}

fn bound_of(bounds: &Bounds, variable: &str) -> Option<String> {
    let time = |time: Option<Duration>| time.map(|time| format!("{time:?}"));
    match variable {
        "VESTIBULE_JOBS_AT_ONCE" => bounds.jobs_at_once.map(|it| it.to_string()),
        "VESTIBULE_JOBS_KEPT" => bounds.jobs_kept.map(|it| it.to_string()),
        "VESTIBULE_ACTIONS_AT_ONCE" => bounds.actions_at_once.map(|it| it.to_string()),
        "VESTIBULE_ACTIONS_BYTES_MAX" => bounds.actions_bytes_max.map(|it| it.to_string()),
        "VESTIBULE_CALL_MEMORY_MAX" => bounds.call_memory_max.map(|it| it.to_string()),
        "VESTIBULE_REQUESTS_AT_ONCE" => bounds.requests_at_once.map(|it| it.to_string()),
        "VESTIBULE_ACTION_STEP_MAX" => time(bounds.action_step_max),
        "VESTIBULE_SPARE_THREADS" => bounds.spare_threads.map(|it| it.to_string()),
        "VESTIBULE_QUERY_TIME_MAX" => time(bounds.query_time_max),
        "VESTIBULE_MUTATION_TIME_MAX" => time(bounds.mutation_time_max),
        "VESTIBULE_ACTION_TIME_MAX" => time(bounds.action_time_max),
        "VESTIBULE_FILE_BYTES_MAX" => bounds.file_bytes_max.map(|it| it.to_string()),
        "VESTIBULE_FILES_BYTES_MAX" => bounds.files_bytes_max.map(|it| it.to_string()),
        "VESTIBULE_UPLOADS_AT_ONCE" => bounds.uploads_at_once.map(|it| it.to_string()),
        "VESTIBULE_DOWNLOADS_AT_ONCE" => bounds.downloads_at_once.map(|it| it.to_string()),
        "VESTIBULE_UPLOAD_TIME_MAX" => time(bounds.upload_time_max),
        "VESTIBULE_IMPORT_BYTES_MAX" => bounds.import_bytes_max.map(|it| it.to_string()),
        "VESTIBULE_IMPORT_UNPACKED_BYTES_MAX" => {
            bounds.import_unpacked_bytes_max.map(|it| it.to_string())
        }
        "VESTIBULE_LOG_KEPT" => time(bounds.log_kept),
        "VESTIBULE_LOSE_COMMITS_AFTER" => bounds.lose_commits_after.map(|it| it.to_string()),
        "VESTIBULE_IMPORT_KEPT" => time(bounds.import_kept),
        "VESTIBULE_EXPORT_KEPT" => time(bounds.export_kept),
        other => panic!("{other} has no part"),
    }
}

#[test]
fn bounds_that_are_given_reach_their_rooms() {
    let given = [
        "--jobs-at-once=3",
        "--file-bytes-max=4KiB",
        "--export-kept=2d",
        "--action-time-max=5s",
        "--action-step-max=7s",
        "--requests-at-once=9",
        "--actions-bytes-max=64MiB",
        "--call-memory-max=32MiB",
    ];
    let bounds = read(&given, &Environment::default()).unwrap().bounds;
    let jobs = bounds.jobs(JobsOptions {
        concurrency: 9,
        ended_max: 7,
    });
    assert_eq!((jobs.concurrency, jobs.ended_max), (3, 7));
    assert_eq!(bounds.files().file_bytes_max, Some(4096));
    assert_eq!(bounds.files().total_bytes_max, None);
    assert_eq!(
        bounds.transfers().export_kept_for,
        Duration::from_secs(2 * 86_400)
    );
    let js = bounds.js(JsOptions::default());
    assert_eq!(js.action_time_max, Duration::from_secs(5));
    let http = bounds.http(HttpOptions::default());
    assert_eq!(http.requests_max, 9);
    assert_eq!(js.action_step_max, Duration::from_secs(7));
    assert_eq!(js.actions_bytes_max, 64 << 20);
    assert_eq!(js.call_memory_max, 32 << 20);
    assert_eq!(js.query_time_max, JsOptions::default().query_time_max);
}

fn variables(config: &Config) -> Option<String> {
    let lines = config.env.iter().map(|variable| {
        let value = variable.value.as_deref().unwrap();
        format!("{}={value}", variable.name)
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn networks(networks: &[Network]) -> Option<String> {
    let texts: Vec<String> = networks.iter().map(|it| it.to_string()).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

fn check(
    setting: &Setting,
    spelling: &str,
    outcome: &Outcome,
    arguments: &[&str],
    environment: &Environment,
) {
    let config = read(arguments, environment);
    let what = format!(
        "{}={spelling:?} by {arguments:?} {environment:?}",
        setting.variable
    );
    match outcome {
        NotGiven => {
            let nothing = read(&[], &Environment::default()).unwrap();
            let expected = part(&nothing, setting.variable);
            assert_eq!(
                part(&config.expect(&what), setting.variable),
                expected,
                "{what}"
            );
        }
        Is(expected) => {
            assert_eq!(
                part(&config.expect(&what), setting.variable).as_deref(),
                Some(*expected),
                "{what}"
            );
        }
        Refused(why) => {
            let sentence = config.expect_err(&what).to_string();
            assert!(sentence.contains(why), "{what}: {sentence}");
            assert!(sentence.contains(setting.example), "{what}: {sentence}");
            let wrong = spelling.rsplit([',', '\n']).next().unwrap().trim();
            let is_shown = sentence.contains(&format!("{wrong:?}"));
            let is_hidden = matches!(setting.kind, Kind::Secret | Kind::Lines);
            assert_eq!(is_shown, !is_hidden, "{what}: {sentence}");
        }
    }
}

#[test]
fn every_setting_in_every_spelling_by_every_way_of_giving_it() {
    let named: Vec<&str> = TABLE.iter().map(|(variable, _)| *variable).collect();
    let settings: Vec<&str> = SETTINGS.iter().map(|setting| setting.variable).collect();
    assert_eq!(named, settings, "a row for each setting");
    let directory = tempfile::tempdir().unwrap();
    for (setting, (_, rows)) in SETTINGS.iter().zip(TABLE) {
        for (spelling, outcome) in *rows {
            let others = beside(setting).iter().copied();
            let by_variable =
                Environment::of(others.clone().chain([(setting.variable, *spelling)]));
            check(setting, spelling, outcome, &[], &by_variable);
            let path = directory.path().join("value");
            std::fs::write(&path, format!("{spelling}\n")).unwrap();
            let name = format!("{}_FILE", setting.variable);
            let file = [(name.as_str(), path.to_str().unwrap())];
            let by_file = Environment::of(others.clone().chain(file));
            check(setting, spelling, outcome, &[], &by_file);
            if let Some(flag) = setting.flag {
                let argument = format!("--{flag}={spelling}");
                check(
                    setting,
                    spelling,
                    outcome,
                    &[&argument],
                    &Environment::of(others),
                );
            }
        }
    }
}

#[test]
fn a_flag_goes_before_a_variable_and_an_empty_one_takes_it_away() {
    let environment = Environment::of([
        ("VESTIBULE_NAME", "by-variable"),
        ("VESTIBULE_REDACT", "yes"),
    ]);
    let name = |arguments: &[&str]| read(arguments, &environment).unwrap().name;
    assert_eq!(name(&[]), "by-variable");
    assert_eq!(name(&["--name", "by-flag"]), "by-flag");
    assert_eq!(name(&["--name", ""]), "vestibule");
    let config = read(&["--redact", "false", "--dev"], &environment).unwrap();
    assert_eq!((config.redact, config.dev), (Some(false), Some(true)));
    let origins = [
        "--allowed-origin",
        "https://a.example",
        "--allowed-origin",
        "https://b.example",
    ];
    let listed = read(&origins, &environment)
        .unwrap()
        .allowed_origins
        .unwrap();
    assert_eq!(listed, ["https://a.example", "https://b.example"]);
}

#[test]
fn a_variable_of_the_deployment_has_a_variable_of_its_own_too() {
    let environment = Environment::of([
        ("VESTIBULE_ENV", "A=1\nB=2"),
        ("VESTIBULE_ENV_B", "not this one"),
        ("VESTIBULE_ENV_KEY", "-----BEGIN\n, #=\n"),
        ("VESTIBULE_ENV_UNSET", " "),
        ("VESTIBULE_ENV_NAME", "almost a setting's"),
    ]);
    let config = read(&[], &environment).unwrap();
    let given = "A=1\nB=2\nKEY=-----BEGIN\n, #=\n\nNAME=almost a setting's";
    assert_eq!(variables(&config).unwrap(), given);
    // The flag takes the place of the lines alone.
    let config = read(&["--env", "B=3", "--env", "C=4"], &environment).unwrap();
    assert!(variables(&config).unwrap().starts_with("B=3\nC=4\nKEY="));
    let wrong = Environment::of([("VESTIBULE_ENV_CONVEX_CLOUD_URL", "secret")]);
    let sentence = read(&[], &wrong).unwrap_err().to_string();
    assert!(
        sentence.contains("VESTIBULE_ENV_CONVEX_CLOUD_URL"),
        "{sentence}"
    );
    assert!(
        sentence.contains("built-in") && !sentence.contains("secret"),
        "{sentence}"
    );
}

#[test]
fn settings_that_belong_together_are_given_together() {
    let refused = |variables: &[(&'static str, &'static str)]| {
        let environment = Environment::of(variables.iter().copied());
        read(&[], &environment).unwrap_err().to_string()
    };
    let issuer = ("VESTIBULE_ISSUER", "https://issuer.example");
    let audience = ("VESTIBULE_AUDIENCE", "convex");
    assert!(refused(&[issuer]).contains("without --audience (VESTIBULE_AUDIENCE)"));
    assert!(refused(&[audience, ("VESTIBULE_ISSUER", "")]).contains("without --issuer"));
    let both = refused(&[issuer, audience, ("VESTIBULE_AUTH_CONFIG", "{}")]);
    assert!(both.contains("take one of them away"), "{both}");
    let none = Environment::of([("VESTIBULE_ISSUER", ""), ("VESTIBULE_AUDIENCE", " ")]);
    assert_eq!(read(&[], &none).unwrap().issuer, None);
}

#[test]
fn a_file_that_cannot_be_read_or_is_one_of_two_is_refused() {
    let refused = |variables: [(&'static str, &'static str); 2]| {
        read(&[], &Environment::of(variables))
            .unwrap_err()
            .to_string()
    };
    let missing = refused([("VESTIBULE_SECRET_FILE", "/nowhere/secret"), ("HOME", "/")]);
    assert!(missing.contains("/nowhere/secret"), "{missing}");
    let twice = refused([
        ("VESTIBULE_SECRET_FILE", "/nowhere"),
        ("VESTIBULE_SECRET", SECRET_HEX),
    ]);
    assert!(twice.contains("both given"), "{twice}");
    let one = [
        ("VESTIBULE_SECRET_FILE", ""),
        ("VESTIBULE_SECRET", SECRET_HEX),
    ];
    assert!(read(&[], &Environment::of(one)).unwrap().secret.is_some());
}

#[test]
fn a_variable_that_is_almost_a_setting_is_refused() {
    for (name, meant) in [
        ("VESTIBULE_ISSUR", "VESTIBULE_ISSUER"),
        ("VESTIBULE_AUDIENZE", "VESTIBULE_AUDIENCE"),
        ("VESTIBULE_ALLOWED_ORIGIN", "VESTIBULE_ALLOWED_ORIGINS"),
        ("VESTIBULE_TRUSTED_PROXY", "VESTIBULE_TRUSTED_PROXIES"),
        ("VESTIBULE_AUTHCONFIG_FILE", "VESTIBULE_AUTH_CONFIG_FILE"),
        ("VESTIBULE_DEVE", "VESTIBULE_DEV"),
    ] {
        let refused = read(&[], &Environment::of([(name, "x")]));
        let sentence = refused.unwrap_err().to_string();
        assert_eq!(sentence, format!("{name} is no setting; {meant} is"));
    }
    // Those of other programs, and those that an orchestrator sets for a service of this name.
    for name in [
        "VESTIBULE_PORT",
        "VESTIBULE_SERVICE_HOST",
        "VESTIBULE_SEED",
        "OTHER_ISSUR",
        "VESTIBULE_LOGS",
    ] {
        let accepted = read(&[], &Environment::of([(name, "x")]));
        assert_eq!(accepted.is_ok(), name != "VESTIBULE_LOGS", "{name}");
    }
}

#[test]
fn a_text_that_is_not_utf_8_is_refused_and_a_path_may_be_one() {
    use std::os::unix::ffi::OsStrExt;
    let odd = OsStr::from_bytes(b"a\xff");
    let read = |flag: &str| {
        let matches = command().try_get_matches_from([OsStr::new("server"), OsStr::new(flag), odd]);
        Config::read(&Given::new(&matches.unwrap(), &Environment::default()))
    };
    assert!(read("--name").unwrap_err().to_string().contains("not text"));
    assert_eq!(read("--data").unwrap().data.as_os_str(), odd);
}

#[test]
fn the_help_names_every_flag_and_its_variable() {
    let help = command().render_long_help().to_string();
    for setting in SETTINGS {
        let Some(flag) = setting.flag else { continue };
        assert!(help.contains(&format!("--{flag}")), "{help}");
        assert!(
            help.contains(&format!("[env: {}]", setting.variable)),
            "{help}"
        );
    }
    let listen: SocketAddr = crate::app::config::LISTEN_DEFAULT.parse().unwrap();
    assert_eq!(listen.port(), parse::PORT_DEFAULT);
}
