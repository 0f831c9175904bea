//! What the last answer must be like.

use std::sync::Arc;

use http::HeaderName;
use kit::config::{Cursor, Fields};
use regex::bytes::Regex;

use super::options::header_name;
use crate::probe::blackbox::file::flag;
use crate::probe::blackbox::re2;
use crate::probe::expr::BodyExpression;

/// Expectations; those that are not written hold of every answer.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) statuses: Vec<u16>,
    pub(super) versions: Vec<String>,
    pub(super) fails_if_ssl: bool,
    pub(super) fails_if_not_ssl: bool,
    pub(super) body_matches: Vec<Regex>,
    pub(super) body_not_matches: Vec<Regex>,
    pub(super) header_matches: Vec<HeaderMatch>,
    pub(super) header_not_matches: Vec<HeaderMatch>,
    pub(super) cel_matches: Option<Arc<BodyExpression>>,
    pub(super) cel_not_matches: Option<Arc<BodyExpression>>,
}

/// A header and what its values must or must not be like.
#[derive(Debug)]
pub(super) struct HeaderMatch {
    pub(super) name: HeaderName,
    pub(super) regex: Regex,
    pub(super) may_be_missing: bool,
}

impl Expected {
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let statuses = fields.get("valid_status_codes").map(|c| c.items()).unwrap_or_default();
        let statuses: Vec<Option<u16>> = statuses.iter().map(|c| c.whole(100..=999)).collect();
        let versions = fields.get("valid_http_versions").map(|c| c.texts()).unwrap_or_default();
        let (ssl, not_ssl) = (flag(fields, "fail_if_ssl", false), flag(fields, "fail_if_not_ssl", false));
        let body_matches = re2::decode_list(fields.get("fail_if_body_matches_regexp"));
        let body_not_matches = re2::decode_list(fields.get("fail_if_body_not_matches_regexp"));
        let header_matches = header_matches(fields, ["fail_if_header_matches", "fail_if_header_matches_regexp"]);
        let header_not_matches =
            self::header_matches(fields, ["fail_if_header_not_matches", "fail_if_header_not_matches_regexp"]);
        let cel_matches = expression(fields.get("fail_if_body_json_matches_cel"));
        let cel_not_matches = expression(fields.get("fail_if_body_json_not_matches_cel"));
        Some(Self {
            statuses: statuses.into_iter().collect::<Option<_>>()?,
            versions,
            fails_if_ssl: ssl?,
            fails_if_not_ssl: not_ssl?,
            body_matches: body_matches?,
            body_not_matches: body_not_matches?,
            header_matches: header_matches?,
            header_not_matches: header_not_matches?,
            cel_matches: cel_matches?,
            cel_not_matches: cel_not_matches?,
        })
    }

    pub(super) fn has_cel(&self) -> bool {
        self.cel_matches.is_some() || self.cel_not_matches.is_some()
    }

    pub(super) fn has_patterns(&self) -> bool {
        !(self.body_matches.is_empty() && self.body_not_matches.is_empty())
    }
}

fn expression(cursor: Option<Cursor<'_>>) -> Option<Option<Arc<BodyExpression>>> {
    match cursor {
        Some(cursor) => BodyExpression::decode(&cursor).map(|expression| Some(Arc::new(expression))),
        None => Some(None),
    }
}

/// Takes the list of today's key and of the one before it.
fn header_matches(fields: &Fields<'_>, keys: [&'static str; 2]) -> Option<Vec<HeaderMatch>> {
    let items = keys.into_iter().flat_map(|key| fields.get(key).map(|cursor| cursor.items()).unwrap_or_default());
    let decoded: Vec<Option<HeaderMatch>> = items.map(|cursor| header_match(&cursor)).collect();
    decoded.into_iter().collect()
}

fn header_match(cursor: &Cursor<'_>) -> Option<HeaderMatch> {
    let fields = cursor.fields()?;
    let name = fields.require("header").and_then(|c| header_name(&c, &c.text()?));
    let regex = fields.require("regexp").and_then(|c| re2::decode(&c));
    let may_be_missing = flag(&fields, "allow_missing", false);
    fields.end();
    Some(HeaderMatch { name: name?, regex: regex?, may_be_missing: may_be_missing? })
}
