//! The frame of every page: head, navigation, footer, and the headers that keep foreign code out.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::assets;
use super::html::Html;
use super::tone::Tone;
use super::words;

/// Nothing but our own style sheet, script, events, icons and forms; no frames, no inline anything.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A page that reloads itself without a script does so this often.
const RELOAD_SECS: u32 = 30;

/// An entry of the navigation.
#[derive(Debug, Clone)]
pub struct Link {
    /// What it is called.
    pub name: &'static str,
    /// Where it leads.
    pub path: &'static str,
    /// Whether it leads to this very page.
    pub is_here: bool,
    /// How many things wait there, and how the worst of them looks.
    pub count: Option<(usize, Tone)>,
}

/// Who looks at a page, as its top says.
#[derive(Debug, Clone, Default)]
pub enum Visitor {
    /// Nobody can sign in here.
    #[default]
    Anybody,
    /// Somebody who has not signed in.
    Stranger,
    /// Somebody we know.
    Known {
        /// Her name.
        name: String,
        /// What she may do, in a word.
        role: &'static str,
        /// The hidden field that every form of hers carries; none if she did not sign in on a page.
        field: Option<Html>,
    },
}

/// A page, ready to be framed.
#[derive(Debug)]
pub struct Page {
    /// The answer's status.
    pub status: StatusCode,
    /// The program's name.
    pub program: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What the window is called, without the mark.
    pub title: String,
    /// The overall state: mark in the title, and the icon.
    pub tone: Tone,
    /// The navigation.
    pub links: Vec<Link>,
    /// Who looks at it.
    pub visitor: Visitor,
    /// Path of the live events that make the page look anew; none for pages that never change.
    pub events: Option<&'static str>,
    /// Whether people write something here: then it does not load itself anew without a script.
    pub is_written_on: bool,
    /// The content, escaped.
    pub main: Html,
    /// When it was made.
    pub made: Timestamp,
    /// The zone its times are shown in.
    pub zone: TimeZone,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Frame<'a> {
    page: &'a Page,
    style: String,
    script: String,
    icon: String,
    sprite: Html,
    reload_secs: u32,
    made: String,
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let frame = Frame {
            style: assets::style_path(),
            script: assets::script_path(),
            icon: assets::icon_path(self.tone),
            sprite: Tone::sprite(),
            reload_secs: RELOAD_SECS,
            made: words::time(self.made, &self.zone),
            page: &self,
        };
        let mut response = match frame.render() {
            Ok(html) => (self.status, html).into_response(),
            Err(error) => crate::http::ApiError::internal(&error).into_response(),
        };
        let headers: [(HeaderName, &'static str); 6] = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // Under "no-referrer" browsers send `Origin: null` with forms (Fetch, "append a request Origin header").
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ];
        for (name, value) in headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
