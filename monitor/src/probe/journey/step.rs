//! One step: an `http` request, what its answer must show, and what is taken from it.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use kit::config::{Cursor, Entry, Node, Value};
use url::Url;

use crate::config::check_name;
use crate::probe::expect::Expectations;
use crate::probe::http::{Hop, Http, Options, decode};
use crate::probe::kinds::Kind;
use crate::probe::observation::{Outcome, ReasonCode};

use super::extract::Extract;
use super::template::{Place, Template, Templates};
use super::travel::Travel;

/// A checked step.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) options: Options,
    pub(super) expect: Expectations,
    pub(super) extracts: Vec<Extract>,
    /// Taken even after another one failed, to clean up.
    pub(super) always: bool,
    sent: Sent,
}

/// The parts of a request that are templates.
#[derive(Debug, Default)]
struct Sent {
    url: Option<Template>,
    headers: Vec<(HeaderName, Template)>,
    bearer: Option<Template>,
    body: Option<Template>,
}

impl Step {
    /// Decodes one item of `steps:`.
    pub(super) fn decode(cursor: &Cursor<'_>, templates: &mut Templates) -> Option<Self> {
        let fields = cursor.fields()?;
        let name = fields.require("name").and_then(|c| {
            let name = c.text()?;
            check_name(&c, "step", &name);
            Some(name)
        });
        let http = fields.require("http").and_then(|c| decode_http(&c, templates));
        let expect = Expectations::decode(fields.get("expect").as_ref(), Http.expectations());
        let always = fields.get("always").map_or(Some(false), |c| c.bool());
        let entries = fields.get("extract").and_then(|c| c.entries()).unwrap_or_default();
        let count = entries.len();
        let extracts: Vec<Extract> =
            entries.into_iter().filter_map(|(name, cursor)| Extract::decode(name, &cursor)).collect();
        extracts.iter().for_each(|extract| templates.extract(&extract.name));
        fields.end();
        let (options, sent) = http?;
        let all_there = extracts.len() == count;
        all_there.then_some(Self { name: name?, options, expect: expect?, extracts, always: always?, sent })
    }

    /// True if the answer's body is looked at.
    pub(super) fn needs_body(&self) -> bool {
        self.expect.needs_body() || self.extracts.iter().any(Extract::needs_body)
    }

    /// Returns the request as it is sent now.
    pub(super) fn request(&self, templates: &Templates, travel: &Travel) -> Result<Cow<'_, Hop>, Outcome> {
        let first = &self.options.first;
        let sent = &self.sent;
        if sent.url.is_none() && sent.headers.is_empty() && sent.bearer.is_none() && sent.body.is_none() {
            return Ok(Cow::Borrowed(first));
        }
        let extracted = travel.extracted();
        let fill = |template: &Template| templates.fill(template, &travel.random, &extracted).map_err(cannot_be_sent);
        let url = match &sent.url {
            Some(template) => url_of(&fill(template)?).map_err(cannot_be_sent)?,
            None => first.url.clone(),
        };
        let mut headers = first.headers();
        for (name, template) in &sent.headers {
            insert(&mut headers, name, &fill(template)?)?;
        }
        if let Some(template) = &sent.bearer {
            insert(&mut headers, &AUTHORIZATION, &format!("Bearer {}", fill(template)?))?;
        }
        let body = match &sent.body {
            Some(template) => Bytes::from(fill(template)?),
            None => first.body.clone(),
        };
        let rewritten = first.rewritten(url, headers, body);
        let rewritten = rewritten.map(|hop| hop.with_body_for_its_host(sent.body.is_some()));
        rewritten.map(Cow::Owned).map_err(|why| cannot_be_sent(why.to_owned()))
    }

    /// True if everything it names is there, though other steps were not taken.
    pub(super) fn can_be_sent(&self, templates: &Templates, travel: &Travel) -> bool {
        self.request(templates, travel).is_ok()
    }
}

/// An answer chooses what is asked, and not where: a part of the path that is `.` or `..` would lead to another one.
fn url_of(text: &str) -> Result<Url, String> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let dots = |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split(['/', '\\']).any(dots) {
        return Err("a part of the path would be . or .., which leads elsewhere".to_owned());
    }
    Url::parse(text).map_err(|error| error.to_string())
}

fn cannot_be_sent(why: String) -> Outcome {
    Outcome::fail(ReasonCode::Protocol, format!("what earlier steps took cannot be sent: {why}"))
}

/// Sets a header whose value nobody else may see.
fn insert(headers: &mut HeaderMap, name: &HeaderName, text: &str) -> Result<(), Outcome> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| cannot_be_sent(format!("header {name} would hold characters that it cannot carry")))?;
    value.set_sensitive(true);
    headers.insert(name.clone(), value);
    Ok(())
}

/// Decodes a step's `http:`, with samples in place of what is not known yet.
fn decode_http(cursor: &Cursor<'_>, templates: &mut Templates) -> Option<(Options, Sent)> {
    let mistakes = cursor.mistakes_so_far();
    let mut sent = Sent::default();
    let mut sample = cursor.node().clone();
    if let Value::Map(entries) = &cursor.node().value {
        let place = body_place(cursor.node());
        let inner = cursor.entries()?;
        let sampled = entries.iter().zip(inner).filter_map(|(entry, (_, cursor))| {
            let node = sent.take(&entry.key, &cursor, place, templates)?;
            Some(Entry { node, ..entry.clone() })
        });
        sample.value = Value::Map(sampled.collect());
    }
    // What a wrong template leaves would only be blamed twice.
    if cursor.mistakes_so_far() > mistakes {
        return None;
    }
    let cursor = cursor.with(&sample);
    let fields = cursor.fields()?;
    let options = decode(&fields);
    fields.end();
    Some((options?, sent))
}

impl Sent {
    /// Takes the templates out of one key of `http:`; returns what stands there for the check at load, if anything does.
    fn take(&mut self, key: &str, cursor: &Cursor<'_>, body: Place, templates: &mut Templates) -> Option<Node> {
        let node = cursor.node();
        let (template, sample) = match key {
            "headers" => return Some(self.take_headers(cursor, templates)),
            "url" => {
                refuse_moving_target(cursor);
                sampled(cursor, Place::Url, templates)
            }
            "bearer" => sampled(cursor, Place::Plain, templates),
            "body" => sampled(cursor, body, templates),
            _ => {
                refuse_template(cursor);
                return Some(node.clone());
            }
        };
        let is_template = template.is_some();
        match key {
            "url" => self.url = template,
            "bearer" => self.bearer = template,
            _ => self.body = template,
        }
        // A template holds no secret itself, as `bearer` otherwise must.
        (key != "bearer" || !is_template).then_some(sample)
    }

    fn take_headers(&mut self, cursor: &Cursor<'_>, templates: &mut Templates) -> Node {
        let mut node = cursor.node().clone();
        if let (Value::Map(entries), Some(inner)) = (&mut node.value, cursor.entries()) {
            for (entry, (name, cursor)) in entries.iter_mut().zip(inner) {
                let (template, sample) = sampled(&cursor, Place::Plain, templates);
                entry.node = sample;
                if let (Some(template), Ok(name)) = (template, HeaderName::try_from(name)) {
                    self.headers.push((name, template));
                }
            }
        }
        node
    }
}

/// Returns the template that stands here, if one does, and the node with a sample in its place.
fn sampled(cursor: &Cursor<'_>, place: Place, templates: &mut Templates) -> (Option<Template>, Node) {
    let mut node = cursor.node().clone();
    let text = node.scalar_text().filter(|text| Templates::is_template(text));
    let added = text.and_then(|text| templates.add(cursor, text, place));
    let template = added.map(|(template, sample)| {
        node.value = Value::Text(sample);
        template
    });
    (template, node)
}

/// How values are written into a body: as its `content-type` says, or else as it begins.
fn body_place(http: &Node) -> Place {
    let headers = http.child("headers").map(|headers| &headers.value);
    let written = match headers {
        Some(Value::Map(entries)) => entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(CONTENT_TYPE.as_str())),
        _ => None,
    };
    let content_type = written.and_then(|entry| entry.node.scalar_text()).unwrap_or_default().to_ascii_lowercase();
    let body = http.child("body").and_then(Node::scalar_text).unwrap_or_default();
    let begins = |text: &str| body.trim_start().starts_with(text);
    match () {
        () if content_type.contains("json") => Place::Json,
        () if content_type.starts_with("application/x-www-form-urlencoded") => Place::Url,
        () if content_type.is_empty() && (begins("[") || begins("{") && !begins("{{") && !begins("{%")) => Place::Json,
        () => Place::Plain,
    }
}

/// No answer decides which host is asked next.
fn refuse_moving_target(cursor: &Cursor<'_>) {
    let Some(text) = cursor.node().scalar_text().filter(|text| Templates::is_template(text)) else { return };
    let fixed = text.split("{{").next().and_then(|before| before.split("{%").next()).unwrap_or_default();
    let host = fixed.split_once("://").map_or("", |(_, after)| after);
    if host.find(['/', '?', '#']).is_none_or(|end| end == 0) {
        cursor.mistake("which host is asked cannot depend on an answer; write it, or ${VARIABLE}, before the first {{");
    }
}

fn refuse_template(cursor: &Cursor<'_>) {
    let seen = std::cell::Cell::new(false);
    _ = cursor.node().map_texts(&|text| {
        seen.set(seen.get() || Templates::is_template(text));
        None
    });
    if seen.get() {
        cursor.mistake("{{ … }} is filled in under url, headers, bearer and body only");
    }
}
