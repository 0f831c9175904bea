//! The style sheet, the script and the icons: part of the binary, named by a hash of their content, cached for a year.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tower_http::compression::CompressionLayer;

use super::tone::Tone;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| named(STYLE, "css"));
static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| named(SCRIPT, "js"));

/// The path of the style sheet.
pub(super) fn style_path() -> String {
    format!("/assets/{}", *STYLE_NAME)
}

/// The path of the script.
pub(super) fn script_path() -> String {
    format!("/assets/{}", *SCRIPT_NAME)
}

/// The path of a page's icon.
pub(super) fn icon_path(tone: Tone) -> String {
    format!("/assets/{}.svg", tone.as_str())
}

fn named(content: &str, ending: &str) -> String {
    let digest = HEXLOWER.encode(&Sha256::digest(content.as_bytes()));
    format!("page-{digest:.12}.{ending}")
}

/// Adds everything that pages refer to, and compresses what the browser lets us: a page of many services is one pattern
/// again and again.
pub fn with_assets(pages: Router) -> Router {
    pages.route("/assets/{file}", get(asset)).layer(CompressionLayer::new())
}

async fn asset(Path(file): Path<String>) -> Response {
    let for_ever = "public, max-age=31536000, immutable";
    let (kind, cache, content) = if file == *STYLE_NAME {
        ("text/css; charset=utf-8", for_ever, STYLE.to_owned())
    } else if file == *SCRIPT_NAME {
        ("text/javascript; charset=utf-8", for_ever, SCRIPT.to_owned())
    } else if let Some(tone) = Tone::ALL.into_iter().find(|tone| file.strip_suffix(".svg") == Some(tone.as_str())) {
        ("image/svg+xml", "public, max-age=86400", tone.icon())
    } else {
        return (StatusCode::NOT_FOUND, "no such file\n").into_response();
    };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, content).into_response()
}
