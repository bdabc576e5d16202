//! The page: static files, built into the program.

use vestibule_server::prelude::App;

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Serves the page at `/`.
pub fn add_to(app: App) -> App {
    app.asset(
        "/index.html",
        HTML,
        &include_bytes!("../assets/index.html")[..],
    )
    .asset(
        "/assets/app.js",
        JAVASCRIPT,
        &include_bytes!("../assets/app.js")[..],
    )
    .asset(
        "/assets/connection.js",
        JAVASCRIPT,
        &include_bytes!("../assets/connection.js")[..],
    )
    .asset(
        "/assets/gate.js",
        JAVASCRIPT,
        &include_bytes!("../assets/gate.js")[..],
    )
    .asset(
        "/assets/messages.js",
        JAVASCRIPT,
        &include_bytes!("../assets/messages.js")[..],
    )
    .asset(
        "/assets/page.js",
        JAVASCRIPT,
        &include_bytes!("../assets/page.js")[..],
    )
    .asset(
        "/assets/convex.browser.js",
        JAVASCRIPT,
        &include_bytes!("../assets/convex.browser.js")[..],
    )
    .asset(
        "/assets/style.css",
        CSS,
        &include_bytes!("../assets/style.css")[..],
    )
    .asset(
        "/assets/favicon.svg",
        SVG,
        &include_bytes!("../assets/favicon.svg")[..],
    )
}
