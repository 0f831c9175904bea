//! Modules of prober `http`: what is sent is a request of kind `http`, or of a journey where secrets stand in headers or body.

use kit::cli::at;
use serde_json::{Map, Value};

use super::super::names::slug;
use super::super::request::{Request, Text, scheme_length, without_secrets};
use super::module::{Asked, Options};

/// Returns the kind with its settings, and what is expected.
///
/// # Errors
/// A secret cannot be kept.
pub(super) fn check(options: &mut Options<'_>, module: &str, asked: &Asked<'_>) -> Result<Map<String, Value>, String> {
    let target = asked.target;
    let url = if scheme_length(target) > 0 { target.to_owned() } else { format!("http://{target}") };
    // Secrets of a module are the same for all of its targets; those in a target's URL are its own.
    let name =
        if without_secrets(target) == target { format!("module-{}", slug(module)) } else { asked.service.to_owned() };
    let mut request = Request::new(Text::Plain(url), &name, asked.secrets)?;
    request.settings.extend(options.take("method").map(|method| ("method".to_owned(), method)));
    sent(options, &mut request)?;
    options.ip(&mut request.settings);
    if options.take("follow_redirects") == Some(Value::Bool(false)) || options.is_on("no_follow_redirects") {
        request.settings.insert("redirects".to_owned(), "none".into());
    }
    request.settings.extend(options.tls().map(|tls| ("tls".to_owned(), tls)));
    credentials(options, &mut request)?;
    let _chosen_by_itself = options.take("enable_http2");
    let expect = expected(options);
    Ok(request.into_check(expect))
}

/// Headers and body.
fn sent(options: &mut Options<'_>, request: &mut Request<'_>) -> Result<(), String> {
    if let Some(Value::Object(headers)) = options.take("headers") {
        for (name, value) in headers {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !request.header(&name, Text::Plain(value))? {
                options.leave(&format!("headers.{name}, which every probe sets itself"));
            }
        }
    }
    match options.keys.text("body") {
        Some(body) => request.body(Text::Plain(body)),
        None => Ok(()),
    }
}

/// Only one signs in: a header that is written, else the URL, else the module, as there.
fn credentials(options: &mut Options<'_>, request: &mut Request<'_>) -> Result<(), String> {
    let (basic, authorization) = (options.take("basic_auth"), options.take("authorization"));
    let (token, file) = (options.take("bearer_token"), options.take("bearer_token_file"));
    if request.is_signed() {
        return Ok(());
    }
    if let Some(basic) = basic {
        return sign_in(options, request, &basic);
    }
    let written = |value: &Value| value.as_str().map(str::to_owned);
    let authorization = authorization.unwrap_or_default();
    let token = written(at(&authorization, "credentials")).or_else(|| token.as_ref().and_then(written));
    let file = written(at(&authorization, "credentials_file")).or_else(|| file.as_ref().and_then(written));
    match (at(&authorization, "type").as_str().filter(|kind| !kind.eq_ignore_ascii_case("bearer")), token, file) {
        (None, Some(token), _) => request.bearer(&token)?,
        (None, None, file) => request.settings.extend(file.map(|file| ("bearer_file".to_owned(), file.into()))),
        (Some(kind), Some(token), _) => {
            let _is_sent = request.header("Authorization", Text::Plain(format!("{kind} {token}")))?;
        }
        (Some(kind), None, _) => {
            options.leave(&format!("authorization.credentials_file of type {kind}; write bearer_file"));
        }
    }
    Ok(())
}

fn sign_in(options: &mut Options<'_>, request: &mut Request<'_>, basic: &Value) -> Result<(), String> {
    let text = |key| at(basic, key).as_str().unwrap_or_default();
    request.basic(text("username"), text("password"))?;
    let file = at(basic, "password_file").as_str();
    if let (Some(file), Some(ours)) = (file, request.settings.get_mut("basic").and_then(Value::as_object_mut)) {
        ours.insert("password_file".to_owned(), file.into());
    }
    if basic.get("username_file").is_some() {
        options.leave("basic_auth.username_file; write the name into username");
    }
    Ok(())
}

fn expected(options: &mut Options<'_>) -> Map<String, Value> {
    let mut expect = Map::new();
    if let Some(statuses) =
        options.take("valid_status_codes").filter(|list| list.as_array().is_some_and(|l| !l.is_empty()))
    {
        expect.insert("status".to_owned(), statuses);
    }
    if let Some(wanted) = options.take("fail_if_body_not_matches_regexp") {
        expect.insert("body_matches".to_owned(), wanted);
    }
    if let Some(Value::Array(unwanted)) = options.take("fail_if_body_matches_regexp") {
        let terms: Vec<String> = unwanted.iter().map(|regex| format!("!body.matches({regex})")).collect();
        expect.insert("expr".to_owned(), terms.join(" && ").into());
    }
    if let Some(Value::Array(wanted)) = options.take("fail_if_header_not_matches") {
        let mut headers = Map::new();
        for header in &wanted {
            match (at(header, "header").as_str(), at(header, "allow_missing")) {
                (Some(name), Value::Bool(true)) => options.leave(&format!("allow_missing of the header {name}")),
                (Some(name), _) => drop(headers.insert(name.to_owned(), at(header, "regexp").clone())),
                (None, _) => {}
            }
        }
        expect.insert("header".to_owned(), Value::Object(headers));
    }
    expect
}
