//! The scripts that make the environment of JavaScript functions, compiled once.

use std::sync::{Arc, OnceLock};

use vestibule_isolate::{Bytecode, compile_script};

macro_rules! scripts {
    ($($file:literal),* $(,)?) => {
        /// In the order in which they run. A test checks that none is missing.
        pub(super) const SCRIPTS: &[&str] = &[$(include_str!(concat!("prelude/", $file))),*];
        /// Their names.
        const FILES: &[&str] = &[$($file),*];
    };
}

scripts![
    "00_core.js",
    "10_base.js",
    "11_webassembly.js",
    "12_dom_exception.js",
    "13_errors.js",
    "14_inspect.js",
    "15_console.js",
    "16_time.js",
    "17_random.js",
    "18_process.js",
    "19_async_context.js",
    "20_encoding.js",
    "21_search_params.js",
    "22_url.js",
    "23_events.js",
    "24_abort.js",
    "25_timers.js",
    "26_clone.js",
    "30_crypto.js",
    "31_crypto_key.js",
    "32_subtle_keys.js",
    "33_subtle.js",
    "40_headers.js",
    "50_streams.js",
    "51_readable.js",
    "52_readable_bytes.js",
    "53_readable_stream.js",
    "54_writable.js",
    "55_pipe.js",
    "56_transform.js",
    "60_blob.js",
    "61_form_data.js",
    "63_body.js",
    "64_request.js",
    "65_response.js",
    "66_fetch.js",
    "70_locale.js",
    "71_intl_number.js",
    "72_calendars.js",
    "72_intl_date.js",
    "73_intl.js",
    "74_intl_locale.js",
    "80_js_syscalls.js",
    "85_describe.js",
    "86_registrations.js",
    "90_driver.js",
];

/// A script of the prelude, for processes of Node.js.
pub(super) fn script(file: &str) -> &'static str {
    let at = FILES.iter().position(|known| *known == file);
    SCRIPTS[at.expect("the prelude has a script of this name")]
}

/// The script that development adds at the end.
const IN_DEVELOPMENT: &str = include_str!("prelude/95_awaits.js");

/// The prelude. Its scripts share one closure, which modules cannot see.
pub fn compiled() -> Arc<[Bytecode]> {
    static COMPILED: OnceLock<Arc<[Bytecode]>> = OnceLock::new();
    COMPILED.get_or_init(|| compile(SCRIPTS)).clone()
}

/// The same for development: errors tell more, and operations take longer.
pub fn compiled_for_development() -> Arc<[Bytecode]> {
    static COMPILED: OnceLock<Arc<[Bytecode]>> = OnceLock::new();
    COMPILED
        .get_or_init(|| compile(&[SCRIPTS, &[IN_DEVELOPMENT]].concat()))
        .clone()
}

fn compile(scripts: &[&str]) -> Arc<[Bytecode]> {
    let source = format!("(() => {{\n{}\n}})();", scripts.join("\n"));
    let script = compile_script("prelude.js", &source);
    Arc::from(vec![script.expect("the prelude is well formed")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_part_of_the_prelude() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/functions/js/prelude");
        let scripts = std::fs::read_dir(folder).unwrap();
        assert_eq!(scripts.count(), SCRIPTS.len() + 1);
        assert_eq!(compiled().len(), 1);
        assert_eq!(compiled_for_development().len(), 1);
    }
}
