//! Rules of the source, kept by reading it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every Rust file below a folder, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no source");
    found
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path
            .file_stem()
            .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"))
}

/// The text before a file's own test module.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

/// The rooms of the server, each of which may use only those before it.
const ROOMS: [&str; 16] = [
    "storage",
    "database",
    "outbound",
    "auth",
    "deployment",
    "files",
    "transfer",
    "backup",
    "functions",
    "jobs",
    "push",
    "subscriptions",
    "provisioning",
    "sync",
    "http",
    "app",
];

#[test]
fn a_room_uses_only_rooms_above_it() {
    for (position, room) in ROOMS.iter().enumerate() {
        for (path, text) in sources(&format!("server/src/{room}")) {
            if is_test(&path) {
                continue;
            }
            for below in &ROOMS[position + 1..] {
                let uses = format!("crate::{below}::");
                assert!(
                    !without_tests(&text).contains(&uses),
                    "{} uses {uses}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn a_foreign_library_is_named_in_one_room() {
    let owners = [
        ("rusqlite", "storage"),
        ("axum", "http"),
        ("hyper", "http"),
        ("jsonwebtoken", "auth"),
        ("reqwest", "outbound"),
        ("encoding_rs", "functions"),
        ("icu_collator", "functions"),
        ("object_store", "files"),
        ("zip", "transfer"),
        ("csv", "transfer"),
    ];
    for (path, text) in sources("server/src") {
        if is_test(&path) {
            continue;
        }
        for (library, room) in owners {
            // Keys of providers are fetched in the room that trusts them, by the outbound room's rules.
            let room_of = |room| path.starts_with(root().join("server/src").join(room));
            let is_owner = room_of(room) || (library == "reqwest" && room_of("auth"));
            let names = without_tests(&text).contains(&format!("{library}::"));
            assert!(
                is_owner || !names,
                "{} names {library}, which belongs to {room}",
                path.display()
            );
        }
    }
}

/// Rooms take the time and their threads from what the app hands in (`clock.rs`, `executor.rs`). Most files named here
/// bound waits for a socket or for the end of the process. They use the time of the app's own runtime, which tests stop.
/// Others read the clock of the file system. ARCHITECTURE.md says why.
#[test]
fn a_room_takes_its_clock_and_its_threads_from_the_app() {
    const OWN: [&str; 8] = [
        "Instant::now",
        "SystemTime::now",
        "thread::spawn",
        "thread::Builder",
        "thread::sleep",
        "SystemClock::new",
        "tokio::time",
        "Runtime::new",
    ];
    const RUNTIME: &str = "tokio::time";
    let allowed = [
        // Waits for a client, or for another server.
        ("files/receive.rs", &[RUNTIME, "Instant::now"][..]),
        ("transfer/uploads.rs", &[RUNTIME]),
        ("auth/fetch.rs", &[RUNTIME]),
        // `setTimeout` in actions, beside which their requests wait.
        ("functions/js/timers.rs", &[RUNTIME]),
        ("functions/js/action_host.rs", &[RUNTIME, "Instant::now"]),
        // The end of the process.
        ("database/mod.rs", &[RUNTIME]),
        ("jobs/driver.rs", &[RUNTIME]),
        ("transfer/mod.rs", &[RUNTIME]),
        // Ages of files, whose times are the machine's.
        ("files/sweep.rs", &["SystemTime::now"]),
        ("backup/send.rs", &["SystemTime::now"]),
        // The default of a store that a tool opens alone.
        ("storage/options.rs", &["SystemClock::new"]),
    ];
    let rooms = ROOMS.iter().filter(|room| **room != "app");
    let mut used = Vec::new();
    for room in rooms {
        for (path, text) in sources(&format!("server/src/{room}")) {
            if is_test(&path) {
                continue;
            }
            let text = without_tests(&text);
            let file = path.strip_prefix(root().join("server/src")).unwrap();
            for own in OWN.iter().filter(|own| text.contains(**own)) {
                let is_allowed =
                    |(name, owns): &&(&str, &[&str])| file == Path::new(name) && owns.contains(own);
                match allowed.iter().find(is_allowed) {
                    Some((name, _)) => used.push((*name, *own)),
                    None => panic!("{} uses {own}: take it from the app", file.display()),
                }
            }
        }
    }
    for (name, owns) in allowed {
        for own in owns {
            assert!(
                used.contains(&(name, *own)),
                "{name} no longer uses {own}: take it off the list"
            );
        }
    }
}

/// The engine and all `unsafe` are in one package, which knows nothing of the server.
#[test]
fn only_the_isolate_embeds_the_engine() {
    for folder in ["schema/src", "server/src", "client", "examples"] {
        for (path, text) in sources(folder) {
            assert!(
                !text.contains("rquickjs"),
                "{} names the engine",
                path.display()
            );
        }
    }
    for (path, text) in sources("server/isolate/src") {
        assert!(
            !text.contains("vestibule_server") && !text.contains("vestibule_schema"),
            "{} knows the server",
            path.display()
        );
    }
}

#[test]
fn only_the_provisioning_room_opens_the_gate() {
    for (path, text) in sources("server/src") {
        let may = is_test(&path) || path.starts_with(root().join("server/src/provisioning"));
        let opens = without_tests(&text).contains("ProvisioningProof::issue(");
        assert!(
            may || !opens,
            "{} issues a proof of provisioning",
            path.display()
        );
    }
}

/// The server that ships is the one that is tested. No part is compiled for tests alone, and only a program of the
/// tests watches it from inside.
#[test]
fn the_server_that_ships_is_the_one_that_is_tested() {
    let manifest = |member: &str| {
        let manifest = root().join(member).join("Cargo.toml");
        fs::read_to_string(manifest).unwrap()
    };
    for member in ["schema", "server/isolate"] {
        let has_features = manifest(member)
            .lines()
            .any(|line| line.trim() == "[features]");
        assert!(!has_features, "{member} can be built in more than one way");
    }
    // A program may leave parts of the server out. Whatever ships by itself has all of them, and so do the tests.
    let server = manifest("server");
    assert!(server.contains("\ndefault = [\"cli\", \"typescript\"]\n"));
    let features = server.split("[features]\n").nth(1).unwrap();
    let features = features.split("\n[").next().unwrap().lines();
    let names = features
        .filter_map(|line| line.split_once(" = ["))
        .map(|(name, _)| name);
    assert_eq!(names.collect::<Vec<_>>(), ["default", "cli", "typescript"]);
    for folder in ["server/src", "client/src", "examples"] {
        for (path, text) in sources(folder) {
            let watches = text.contains("Watch for ") || text.contains(".watched_by(");
            assert!(!watches, "{} watches a server from inside", path.display());
        }
    }
}

/// Bugs that `tests/planted/run` plants one at a time. One that does not apply any more has to follow the source.
#[test]
fn each_planted_bug_applies_and_names_the_test_that_must_notice_it() {
    let folder = root().join("tests/planted");
    let patches = fs::read_dir(&folder).unwrap();
    let patches = patches.map(|entry| entry.unwrap().path());
    let patches: Vec<_> = patches
        .filter(|path| path.extension().is_some_and(|it| it == "patch"))
        .collect();
    assert!(patches.len() >= 9, "{patches:?}");
    let tests = sources("tests/tests");
    for patch in patches {
        let applies = Command::new("git")
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(root())
            .output()
            .unwrap();
        assert!(applies.status.success(), "{}: {applies:?}", patch.display());
        let text = fs::read_to_string(&patch).unwrap();
        let said = |what: &str| {
            let mut lines = text.lines();
            lines
                .find_map(|line| line.strip_prefix(what))
                .map(str::trim)
        };
        assert!(
            said("Bug:").is_some(),
            "{} says what it is",
            patch.display()
        );
        assert!(said("Says:").is_some(), "{}", patch.display());
        let filter = said("Caught by:").and_then(|suite| suite.split(' ').next_back());
        let test = format!("fn {}", filter.unwrap());
        let is_there = tests.iter().any(|(_, text)| text.contains(&test));
        assert!(is_there, "{}: there is no {test}", patch.display());
    }
}

#[test]
fn the_clients_session_does_no_io_and_reads_no_clock() {
    for (path, text) in sources("client/src/session") {
        for library in [
            "tokio::",
            "std::net",
            "Instant::",
            "SystemTime::",
            "rand::rng(",
        ] {
            let named = without_tests(&text).contains(library);
            assert!(!named, "{} names {library}", path.display());
        }
    }
}

#[test]
fn client_and_server_meet_only_in_the_schema() {
    for (one, other) in [
        ("client", "vestibule-server"),
        ("server", "vestibule-client"),
    ] {
        let manifest = fs::read_to_string(root().join(one).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains(other), "{one} depends on {other}");
    }
    let schema = fs::read_to_string(root().join("schema/Cargo.toml")).unwrap();
    for library in ["tokio", "vestibule-server", "vestibule-client"] {
        assert!(!schema.contains(library), "schema depends on {library}");
    }
}

/// The words of a name: `run_after` and `RunAfter` are run and after.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() {
            words.push(String::new());
        }
        let last = words.last_mut().unwrap();
        last.extend(letter.to_lowercase().filter(|letter| *letter != '_'));
    }
    words
}

/// The name that a line declares to the public.
fn declared(line: &str) -> Option<&str> {
    let kinds = [
        "fn", "struct", "enum", "trait", "const", "type", "mod", "static",
    ];
    let parts = line.trim_start().strip_prefix("pub ")?.split_whitespace();
    let mut parts = parts.filter(|part| *part != "async");
    let kind = parts.next().filter(|kind| kinds.contains(kind))?;
    let name = parts.next()?;
    let name = match (kind, name) {
        ("const", "fn") => parts.next()?,
        _ => name,
    };
    let is_of_a_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    name.split(|letter| !is_of_a_name(letter)).next()
}

/// Public names use the words of the glossary in CONTRIBUTING.md.
#[test]
fn public_names_use_the_words_of_the_glossary() {
    let others = [
        "boarded",
        "collection",
        "collision",
        "common",
        "dirty",
        "endpoint",
        "feed",
        "flown",
        "handler",
        "instance",
        "listener",
        "manager",
        "nonce",
        "onboarding",
        "principal",
        "publish",
        "row",
        "topic",
        "udf",
        "util",
        "vm",
    ];
    let mut names = 0;
    for folder in ["schema/src", "client/src", "server/src/app"] {
        for (path, text) in sources(folder) {
            if is_test(&path) {
                continue;
            }
            for name in without_tests(&text).lines().filter_map(declared) {
                names += 1;
                for word in words(name) {
                    let word = word.strip_suffix('s').unwrap_or(&word);
                    assert!(!others.contains(&word), "{}: {name}", path.display());
                }
            }
        }
    }
    assert!(names > 300, "{names} names were found");
}

#[test]
fn every_file_says_what_it_is_for() {
    for folder in [
        "schema/src",
        "server/src",
        "server/isolate",
        "client/src",
        "tests",
        "examples",
    ] {
        for (path, text) in sources(folder) {
            assert!(
                text.starts_with("//! ") && text.len() > 40,
                "{} does not begin with what it is for",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_unfinished_is_left_behind() {
    let marks = [
        "to".to_string() + "do!(",
        "unimple".to_string() + "mented!(",
        "#[ign".to_string() + "ore",
        "db".to_string() + "g!(",
    ];
    for folder in [
        "schema",
        "server/src",
        "server/isolate",
        "client",
        "tests",
        "examples",
    ] {
        for (path, text) in sources(folder) {
            for mark in &marks {
                assert!(
                    !text.contains(mark.as_str()),
                    "{} holds {mark}",
                    path.display()
                );
            }
        }
    }
}
