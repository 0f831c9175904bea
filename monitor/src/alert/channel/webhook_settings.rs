//! Settings of kind `webhook`, presets included, checked once at load.

use http::{HeaderName, HeaderValue, Method};
use kit::config::{Cursor, Fields, suggest};
use kit::hmac::SigningKey;
use secrecy::ExposeSecret;
use url::Url;

use super::post::Poster;
use super::presets::{self, Preset};
use super::settings::{self, Header};
use super::template::{Parameters, Template};
use super::webhook::{Body, WebhookChannel, signing_secret};

/// Checks the settings of one webhook.
pub(super) fn webhook(cursor: &Cursor<'_>) -> Option<WebhookChannel> {
    let fields = cursor.fields()?;
    let preset = match fields.get("preset") {
        Some(cursor) => Some(preset(&cursor)?),
        None => None,
    };
    let url = url(&fields, preset);
    let secret = fields.secret("secret", "secret_file");
    let headers = headers(&fields);
    let is_put = fields.get("method").and_then(|c| c.one_of(&[("POST", false), ("PUT", true)]));
    let body = body(&fields, preset);
    let content_type = fields.get("content_type").and_then(|c| header_value(&c));
    let parameters = parameters(&fields, preset);
    let poster = Poster::decode(&fields);
    fields.end();
    let (url, parameters, headers) = (url?, parameters?, headers?);
    let own_method = preset.map_or(Method::POST, |preset| preset.method.clone());
    let own_type = HeaderValue::from_static(preset.map_or("application/json", |preset| preset.content_type));
    let poster = poster?.hiding_url(&url).hiding_headers(&headers);
    let poster = parameters.secrets.values().fold(poster, |poster, secret| poster.hiding(secret.expose_secret()));
    Some(WebhookChannel {
        path: preset.filter(|preset| !preset.path.is_empty()).and_then(|preset| own(preset.path)),
        templated: preset.map(templated).unwrap_or_default(),
        method: is_put.map_or(own_method, |is_put| if is_put { Method::PUT } else { Method::POST }),
        headers,
        content_type: content_type.unwrap_or(own_type),
        body: body?,
        key: secret.map(|secret| SigningKey::new(&signing_secret(&secret))),
        parameters,
        poster,
        url,
    })
}

fn preset(cursor: &Cursor<'_>) -> Option<&'static Preset> {
    let name = cursor.text()?;
    let found = presets::find(&name);
    if found.is_none() {
        let near = suggest(&name, presets::names());
        let list: Vec<&str> = presets::names().collect();
        cursor.mistake(format!("there is no preset {}{near}; there are {}", cursor.node().shown(), list.join(", ")));
    }
    found
}

fn url(fields: &Fields<'_>, preset: Option<&Preset>) -> Option<Url> {
    match preset.and_then(|preset| preset.url) {
        Some(own) if !fields.has("url") && !fields.has("url_file") => Url::parse(own).ok(),
        _ => settings::url(fields, "url", "url_file"),
    }
}

/// Our own texts are templates: a test compiles each of them.
fn own(text: &str) -> Option<Template> {
    Template::of(text.to_owned()).ok()
}

fn templated(preset: &Preset) -> Vec<(HeaderName, Template)> {
    let header = |(name, value): &(&str, &str)| Some((name.parse().ok()?, own(value)?));
    preset.headers.iter().filter_map(header).collect()
}

fn parameters(fields: &Fields<'_>, preset: Option<&Preset>) -> Option<Parameters> {
    let values = fields.get("values").and_then(|c| c.entries()).unwrap_or_default();
    let files = fields.get("secrets").and_then(|c| c.entries()).unwrap_or_default();
    let mut all_well = true;
    if let Some(preset) = preset {
        all_well &= has_all(fields.cursor(), "values", &values, preset.values, preset.optional);
        all_well &= has_all(fields.cursor(), "secrets", &files, preset.secrets, &[]);
    }
    let mut parameters = Parameters::default();
    parameters.values.extend(values.iter().map(|(name, cursor)| ((*name).to_owned(), cursor.node().to_json())));
    for (name, cursor) in files {
        match cursor.named_secret() {
            Some(secret) => _ = parameters.secrets.insert(name.to_owned(), secret),
            None => all_well = false,
        }
    }
    all_well.then_some(parameters)
}

/// Reports parameters that are missing or that nobody asked for.
fn has_all(
    whole: &Cursor<'_>,
    section: &str,
    given: &[(&str, Cursor<'_>)],
    needed: &[&'static str],
    optional: &[&'static str],
) -> bool {
    let mut all_well = true;
    for name in needed.iter().filter(|name| !given.iter().any(|(other, _)| other == *name)) {
        all_well = false;
        whole.mistake(format!("the preset needs {name:?} under {section:?}"));
    }
    let known: Vec<&str> = needed.iter().chain(optional).copied().collect();
    for (name, cursor) in given.iter().filter(|(name, _)| !known.contains(name)) {
        all_well = false;
        let near = suggest(name, known.iter().copied());
        cursor.mistake(format!("the preset knows no {name:?}{near}"));
    }
    all_well
}

fn headers(fields: &Fields<'_>) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    let mut all_well = true;
    for (name, cursor) in fields.get("headers").and_then(|c| c.entries()).unwrap_or_default() {
        match (name.parse::<HeaderName>(), header_value(&cursor)) {
            (Ok(name), Some(value)) => headers.push((name, value)),
            (Ok(_), None) => all_well = false,
            (Err(_), _) => {
                all_well = false;
                cursor.mistake(format!("{name:?} is not a header name"));
            }
        }
    }
    if let Some(token) = fields.secret("bearer_token", "bearer_token_file") {
        headers.push(settings::authorization(fields, "Bearer", &token)?);
    }
    all_well.then_some(headers)
}

fn header_value(cursor: &Cursor<'_>) -> Option<HeaderValue> {
    let text = cursor.text()?;
    let value = HeaderValue::from_str(&text).ok();
    if value.is_none() {
        cursor.mistake(format!("{} cannot stand in a header", cursor.node().shown()));
    }
    value
}

fn body(fields: &Fields<'_>, preset: Option<&Preset>) -> Option<Body> {
    let template = fields.get("template");
    let format = fields.get("format");
    if let (Some(_), Some(format)) = (&template, &format) {
        format.mistake("both \"format\" and \"template\" are set; keep one");
    }
    if let (Some(_), Some(format)) = (preset, &format) {
        format.mistake("both \"format\" and \"preset\" are set; keep one");
    }
    match (template, format, preset) {
        (Some(template), ..) => Template::decode(&template).map(|template| Body::Template(Box::new(template))),
        (None, Some(format), _) => {
            let is_own = format.one_of(&[("monitor", true), ("alertmanager_v4", false)])?;
            Some(if is_own { Body::Own } else { Body::AlertmanagerV4 })
        }
        (None, None, Some(preset)) => own(preset.body).map(|template| Body::Template(Box::new(template))),
        (None, None, None) => Some(Body::Own),
    }
}
