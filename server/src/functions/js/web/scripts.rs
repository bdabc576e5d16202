//! The scripts of the prelude that make the web platform's globals, in the order in which they run.

macro_rules! scripts {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../prelude/", $file)))),*]
    };
}

/// Names and sources. They run in one closure, after `00_core.js`.
pub const SCRIPTS: &[(&str, &str)] = scripts![
    "10_base.js",
    "11_webassembly.js",
    "12_dom_exception.js",
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
    "72_intl_date.js",
    "73_intl.js",
    "80_js_syscalls.js",
];
