//! The page of limits names every bound of the source, with its value and with errors that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Bounds that no user of a server meets.
const INTERNAL: [&str; 67] = [
    "ADDRESSES_MAX",
    "ARGS_SHOWN_BYTES_MAX",
    "BACKOFF_MAX",
    "BATCHES_UNDER_WAY_MAX",
    "BATCH_BYTES_MAX",
    "BATCH_DOCUMENTS_MAX",
    "BATCH_INDEX_ENTRIES_MAX",
    "BUCKETS_MAX",
    "CANDIDATES_MAX",
    "CHUNK_BYTES_MAX",
    "CHUNK_COMMIT_BYTES_MAX",
    "CLAIMS_MAX",
    "CLEARED_BYTES_MAX",
    "CLEARED_MAX",
    "CLIENT_BYTES_MAX",
    "COMMITS_LOOKED_AT_MAX",
    "COUNTED_MAX",
    "CREATION_TIME_MAX",
    "CRON_RUNS_MAX",
    "DELETIONS_MAX",
    "ENTRIES_KEPT_MAX",
    "ENTRIES_READ_MAX",
    "FIELDS_MAX",
    "FIRST_BYTES_MAX",
    "FORGOTTEN_MAX",
    "FRAGMENT_BYTES_MAX",
    "FREEING_TIME_MAX",
    "GENERATED_SCHEMA_BYTES_MAX",
    "IDLE_BYTES_MAX",
    "INTERVAL_COUNT_MAX",
    "JOBS_MAX",
    "KEYS_LOOKED_AT_MAX",
    "KINDS_MAX",
    "LISTED_MAX",
    "LOG_BYTES_MAX",
    "LOOKED_AT_MAX",
    "LOOKED_UP_MAX",
    "MEASURED_BYTES_MAX",
    "MESSAGES_IN_A_ROW_MAX",
    "MILLIS_MAX",
    "MOVED_MAX",
    "NOTED_MAX",
    "ORIGIN_BYTES_LOGGED_MAX",
    "OVERTAKEN_DOCUMENTS_MAX",
    "PAUSE_MAX",
    "PAGE_BYTES_MAX",
    "PAGE_FILES_MAX",
    "PAGE_ROWS_MAX",
    "QUOTED_CHARS_MAX",
    "REDIRECTS_MAX",
    "REQUEST_ID_BYTES_MAX",
    "RESTING_MAX",
    "RESULT_BYTES_MAX",
    "REVOKED_KEYS_BYTES_MAX",
    "SCANNED_BYTES_MAX",
    "SCANNED_MAX",
    "STAGED_CHECKED_MAX",
    "SAMPLED_MAX",
    "SPARES_MAX",
    "STEP_BYTES_MAX",
    "STEP_DOCUMENTS_MAX",
    "TIME_SECONDS_MAX",
    "TOP_MAX",
    "TRIES_MAX",
    "UNREAD_MAX",
    "UNUSED_ANSWERS_MAX",
    "WAIT_MAX",
];

/// Rooms whose constants are looked through, and the files of others that hold bounds of calls.
const PLACES: [&str; 34] = [
    "server/src/sync",
    "server/src/http",
    "server/src/http/deploy",
    "server/src/auth",
    "server/src/subscriptions",
    "server/src/files",
    "server/src/transfer",
    "server/src/transfer/reading",
    "server/src/jobs",
    "server/src/jobs/crons",
    "server/src/push",
    "server/src/push/system",
    "server/src/deployment",
    "server/src/deployment/crons",
    "server/src/deployment/provisioning",
    "server/src/deployment/schema",
    "server/src/functions/console.rs",
    "server/src/functions/js/node/outgoing.rs",
    "server/src/functions/http_action.rs",
    "server/src/functions/nesting.rs",
    "server/src/functions/places.rs",
    "server/src/functions/drafted.rs",
    "server/src/functions/js/node/mod.rs",
    "server/src/functions/js/warming.rs",
    "server/src/functions/js/node/packages.rs",
    "server/src/functions/js/node/pool.rs",
    "server/src/database/reservation.rs",
    "server/src/database/catalog.rs",
    "server/src/database/leases.rs",
    "server/src/database/search",
    "server/src/database/vectors",
    "server/src/app/mod.rs",
    "schema/src/table/validate.rs",
    "schema/src/value/limits.rs",
];

/// Structs whose defaults are bounds.
const OPTIONS: [(&str, &str); 8] = [
    ("server/src/sync/options.rs", "SyncOptions"),
    ("server/src/http/options.rs", "HttpOptions"),
    ("server/src/files/options.rs", "FilesOptions"),
    ("server/src/transfer/options.rs", "TransferOptions"),
    ("server/src/functions/options.rs", "JsOptions"),
    ("server/src/functions/options.rs", "NodeOptions"),
    ("server/src/jobs/mod.rs", "JobsOptions"),
    ("server/src/database/limits.rs", "Limits"),
];

/// Fields that are no bounds but times at which something happens, or are computed.
const NO_BOUNDS: [&str; 10] = [
    "admin_recheck_after",
    "first_mutations_grace",
    "first_query_set_grace",
    "gate_grace",
    "orphan_age",
    "ping_after",
    "probe_after",
    "spare_connections",
    "sweep_every",
    "trusted_proxies",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn sources(place: &str) -> Vec<String> {
    let path = root().join(place);
    if path.is_file() {
        return vec![fs::read_to_string(path).unwrap()];
    }
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| {
        path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs")
    });
    files
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// `const NAME: T = EXPRESSION;` of a text.
fn constants(text: &str) -> Vec<(String, String)> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let declared = text.split("const ").skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once(':')?;
        let (_, value) = rest.split_once('=')?;
        let value = value.split(';').next()?;
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        is_name.then(|| (name.to_string(), value.trim().to_string()))
    });
    declared.collect()
}

/// `name: EXPRESSION,` of a struct's default.
fn defaults(text: &str, of: &str) -> Vec<(String, String)> {
    let start = format!("impl Default for {of}");
    let body = text
        .split(&start)
        .nth(1)
        .unwrap()
        .split("\n}\n")
        .next()
        .unwrap();
    let fields = body.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once(": ")?;
        Some((name.to_string(), value.strip_suffix(',')?.to_string()))
    });
    fields.collect()
}

/// A number of seconds, bytes or things.
fn evaluate(expression: &str, constants: &BTreeMap<String, String>) -> Option<f64> {
    let expression = expression.trim();
    let inner = |prefix: &str| expression.strip_prefix(prefix)?.strip_suffix(')');
    if let Some(seconds) = inner("Duration::from_secs(") {
        return evaluate(seconds, constants);
    }
    if let Some(millis) = inner("Duration::from_millis(") {
        return Some(evaluate(millis, constants)? / 1_000.0);
    }
    for operator in [" + ", " << ", " * "] {
        if let Some((left, right)) = expression.rsplit_once(operator) {
            let left = left.trim_start_matches('(').trim_end_matches(')');
            let (left, right) = (evaluate(left, constants)?, evaluate(right, constants)?);
            return Some(match operator {
                " + " => left + right,
                " << " => left * right.exp2(),
                _ => left * right,
            });
        }
    }
    let number = expression.replace('_', "");
    number
        .parse()
        .ok()
        .or_else(|| evaluate(constants.get(expression)?, constants))
}

/// A value as the page writes it.
fn written(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number: f64 = number.replace(',', "").parse().ok()?;
    let factor = match unit {
        "" | "s" | "ms" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(number * factor)
}

struct Row {
    name: String,
    value: String,
    codes: Vec<String>,
}

fn rows() -> Vec<Row> {
    let page = fs::read_to_string(root().join("docs/limits.md")).unwrap();
    let cells = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line
            .strip_prefix("| ")?
            .strip_suffix(" |")?
            .split(" | ")
            .collect();
        (cells.len() > 2 && cells[2].starts_with('`')).then_some(cells)
    });
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_string)
            .collect()
    };
    cells
        .map(|cells| Row {
            name: cells[2].replace('`', "").replace(" of ", "."),
            value: cells[1].to_string(),
            codes: quoted(cells.last().unwrap()),
        })
        .collect()
}

#[test]
fn the_page_of_limits_names_every_bound_with_its_value() {
    let mut all = BTreeMap::new();
    for place in PLACES
        .iter()
        .chain(&["server/src/http/options.rs", "schema/src/wire/mod.rs"])
    {
        all.extend(sources(place).iter().flat_map(|text| constants(text)));
    }
    let mut bounds: BTreeMap<String, String> = BTreeMap::new();
    for place in PLACES {
        for (name, value) in sources(place).iter().flat_map(|text| constants(text)) {
            if name.ends_with("_MAX") && !INTERNAL.contains(&name.as_str()) {
                bounds.insert(name, value);
            }
        }
    }
    for name in [
        "CLOCK_LEEWAY",
        "GATE_DEADLINE",
        "LEASE_SECONDS",
        "SPARE_CONNECTIONS",
        "UPLOAD_URL_LIFETIME",
    ] {
        bounds.insert(name.into(), all[name].clone());
    }
    let mut names = BTreeSet::new();
    for (file, of) in OPTIONS {
        for (name, value) in defaults(&sources(file)[0], of) {
            let is_number = evaluate(&value, &all).is_some();
            if is_number && !NO_BOUNDS.contains(&name.as_str()) {
                // A field that only names a constant stands there once.
                bounds.remove(&value);
                let name = match name.as_str() {
                    "connections_max" => format!("connections_max.{of}"),
                    _ => name,
                };
                assert!(names.insert(name.clone()), "{name} is there twice");
                bounds.insert(name, value);
            }
        }
    }
    let rows = rows();
    let page: BTreeMap<&str, &str> = rows
        .iter()
        .map(|row| (row.name.as_str(), row.value.as_str()))
        .collect();
    assert_eq!(page.len(), rows.len(), "a bound stands on the page twice");
    for (name, value) in &bounds {
        let on_page = page
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is not on the page"));
        assert_eq!(
            written(on_page),
            evaluate(value, &all),
            "{name} = {value}, and the page: {on_page}"
        );
    }
    for name in page
        .keys()
        .filter(|name| **name != "connections_max.HttpOptions")
    {
        assert!(bounds.contains_key(*name), "{name} of the page is no bound");
    }
}

#[test]
fn the_page_of_limits_names_errors_that_exist() {
    let mut text = String::new();
    for place in [
        "sync",
        "http",
        "auth",
        "functions",
        "functions/js",
        "functions/js/node",
        "database",
        "deployment",
        "provisioning",
        "push",
    ] {
        text.extend(sources(&format!("server/src/{place}")));
    }
    for row in rows() {
        for code in row
            .codes
            .iter()
            .filter(|code| code.starts_with(char::is_uppercase))
        {
            assert!(
                text.contains(&format!("\"{code}")),
                "{code} of {} is nowhere",
                row.name
            );
        }
    }
}
