//! The live page, the page of the API and their files, in the binary.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// Path, media type and content of each file of the page.
const ASSETS: &[(&str, &str, &[u8])] = &[
    ("/", HTML, include_bytes!("../../../../web/index.html")),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_bytes!("../../../../web/style.css"),
    ),
    ("/docs", HTML, include_bytes!("../../../../web/docs.html")),
    (
        "/docs.css",
        "text/css; charset=utf-8",
        include_bytes!("../../../../web/docs.css"),
    ),
    (
        "/docs.js",
        SCRIPT,
        include_bytes!("../../../../web/docs.js"),
    ),
    (
        "/favicon.svg",
        "image/svg+xml",
        include_bytes!("../../../../web/favicon.svg"),
    ),
    (
        "/anomalies.js",
        SCRIPT,
        include_bytes!("../../../../web/anomalies.js"),
    ),
    ("/api.js", SCRIPT, include_bytes!("../../../../web/api.js")),
    ("/app.js", SCRIPT, include_bytes!("../../../../web/app.js")),
    (
        "/chart.js",
        SCRIPT,
        include_bytes!("../../../../web/chart.js"),
    ),
    (
        "/clicks.js",
        SCRIPT,
        include_bytes!("../../../../web/clicks.js"),
    ),
    (
        "/console.js",
        SCRIPT,
        include_bytes!("../../../../web/console.js"),
    ),
    ("/dom.js", SCRIPT, include_bytes!("../../../../web/dom.js")),
    (
        "/follow.js",
        SCRIPT,
        include_bytes!("../../../../web/follow.js"),
    ),
    (
        "/format.js",
        SCRIPT,
        include_bytes!("../../../../web/format.js"),
    ),
    (
        "/inside.js",
        SCRIPT,
        include_bytes!("../../../../web/inside.js"),
    ),
    (
        "/rejects.js",
        SCRIPT,
        include_bytes!("../../../../web/rejects.js"),
    ),
    (
        "/table.js",
        SCRIPT,
        include_bytes!("../../../../web/table.js"),
    ),
];
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The file at `path`.
pub fn asset(path: &str) -> Option<Response> {
    let (_, media_type, content) = ASSETS.iter().find(|(name, ..)| *name == path)?;
    let headers = [
        (header::CONTENT_TYPE, *media_type),
        // The page changes with the binary, and a browser on loopback fetches it at no cost.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'self'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    Some((headers, *content).into_response())
}
