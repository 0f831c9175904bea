//! An HTTP request of another tool as a check of kind `http`; as a journey of one step where it carries what only a journey
//! can: secrets in headers and bodies, or words of its own.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::names::slug;
use super::secrets::{Secrets, has_variable, is_secret_name};

/// Headers that every probe sets by itself.
const OWN_HEADERS: [&str; 4] = ["connection", "transfer-encoding", "content-length", "traceparent"];

/// A part of a request: as it is, or a template of MiniJinja.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Text {
    Plain(String),
    Template(String),
}

/// The request.
pub(super) struct Request<'a> {
    secrets: &'a Secrets<'a>,
    /// What names of secret files begin with.
    name: String,
    url: Text,
    headers: BTreeMap<String, Text>,
    body: Option<Text>,
    /// Settings that are no text that is sent.
    pub(super) settings: Map<String, Value>,
    sealed: Map<String, Value>,
}

impl Text {
    /// Returns it as a template writes it.
    pub(super) fn in_template(&self) -> String {
        match self {
            Self::Template(text) => text.clone(),
            Self::Plain(text) if text.contains("{{") || text.contains("{%") || text.contains("{#") => {
                format!("{{% raw %}}{text}{{% endraw %}}")
            }
            Self::Plain(text) => text.clone(),
        }
    }

    fn written(self, is_journey: bool) -> Value {
        match self {
            Self::Plain(text) if !is_journey => text.into(),
            other => other.in_template().into(),
        }
    }
}

impl<'a> Request<'a> {
    /// Begins with the URL: credentials in it, and what is secret by its name, leave it.
    ///
    /// # Errors
    /// A secret cannot be kept.
    pub(super) fn new(url: Text, name: &str, secrets: &'a Secrets<'a>) -> Result<Self, String> {
        let mut request = Self {
            secrets,
            name: name.to_owned(),
            url,
            headers: BTreeMap::new(),
            body: None,
            settings: Map::new(),
            sealed: Map::new(),
        };
        if let Text::Plain(text) = request.url.clone() {
            request.take_credentials(&text)?;
        }
        Ok(request)
    }

    /// Works on the text, which may have variables in it and then is no URL yet.
    fn take_credentials(&mut self, text: &str) -> Result<(), String> {
        let (scheme, rest) = text.split_at(scheme_length(text));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let (user, password) = user.split_once(':').unwrap_or((user, ""));
                self.basic(&decoded(user), &decoded(password))?;
                host
            }
            None => authority,
        };
        let (path, query) = behind.split_once('?').map_or((behind, None), |(path, query)| (path, Some(query)));
        let Some(query) = query else {
            self.url = Text::Plain(format!("{scheme}{host}{path}"));
            return Ok(());
        };
        let mut parts = Vec::new();
        for part in query.split('&') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if is_secret_name(&decoded(key)) && !value.is_empty() && !has_variable(value) {
                let placeholder = self.seal(&decoded(key), &decoded(&value.replace('+', "%20")))?;
                parts.push(format!("{key}={placeholder}"));
            } else {
                parts.push(part.to_owned());
            }
        }
        let url = format!("{scheme}{host}{path}?{}", parts.join("&"));
        self.url = if self.sealed.is_empty() { Text::Plain(url) } else { Text::Template(url) };
        Ok(())
    }

    /// Keeps a secret, and returns how a template names it.
    fn seal(&mut self, what: &str, secret: &str) -> Result<String, String> {
        let key = slug(what).replace('-', "_");
        let place = self.secrets.place(&format!("{}-{}", self.name, slug(what)), secret)?;
        self.sealed.insert(key.clone(), place.into());
        Ok(format!("{{{{ secrets.{key} }}}}"))
    }

    /// Signs in by name and password.
    pub(super) fn basic(&mut self, user: &str, password: &str) -> Result<(), String> {
        let mut basic = Map::from_iter([("username".to_owned(), json!(user))]);
        if !password.is_empty() {
            self.secrets.put(&mut basic, "password", &format!("{}-password", self.name), password)?;
        }
        self.settings.insert("basic".to_owned(), basic.into());
        Ok(())
    }

    /// Returns whether it says who asks.
    pub(super) fn is_signed(&self) -> bool {
        let by_header = self.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        by_header || ["basic", "bearer", "bearer_file"].iter().any(|key| self.settings.contains_key(*key))
    }

    /// Shows a token.
    pub(super) fn bearer(&mut self, token: &str) -> Result<(), String> {
        let file = format!("{}-bearer", self.name);
        self.secrets.put(&mut self.settings, "bearer", &file, token)
    }

    /// Sends a header. Returns false if a probe sets that one itself.
    pub(super) fn header(&mut self, name: &str, value: Text) -> Result<bool, String> {
        let lower = name.to_ascii_lowercase();
        if OWN_HEADERS.contains(&lower.as_str()) {
            return Ok(false);
        }
        let value = match value {
            Text::Plain(text) if is_secret_name(name) && !text.is_empty() && !has_variable(&text) => {
                if lower == "authorization" && self.authorization(&text)? {
                    return Ok(true);
                }
                Text::Template(self.seal(&lower, &text)?)
            }
            other => other,
        };
        self.headers.insert(name.to_owned(), value);
        Ok(true)
    }

    fn authorization(&mut self, text: &str) -> Result<bool, String> {
        if let Some(token) = text.strip_prefix("Bearer ") {
            self.bearer(token)?;
            return Ok(true);
        }
        let decoded = text.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text.trim()).ok());
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).map(|text| text.replace("${", "$${"));
        let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else { return Ok(false) };
        self.basic(user, password)?;
        Ok(true)
    }

    /// Sends a body; one that names a secret leaves for a file as a whole.
    pub(super) fn body(&mut self, body: Text) -> Result<(), String> {
        let body = match body {
            Text::Plain(text) if names_secret(&text) && has_variable(&text) => {
                return Err("its body holds a secret beside a variable; write that as a variable too".to_owned());
            }
            Text::Plain(text) if names_secret(&text) => {
                let sealed = self.seal("body", &text)?;
                // It is what it is: nothing is to be escaped in it.
                Text::Template(sealed.replace(" }}", "|safe }}"))
            }
            other => other,
        };
        self.body = Some(body);
        Ok(())
    }

    /// Returns the check's kind with its settings, and what is expected.
    pub(super) fn into_check(self, expect: Map<String, Value>) -> Map<String, Value> {
        let is_journey = self.is_template();
        let sealed = self.sealed.clone();
        let mut step = self.into_step(expect, is_journey);
        if !is_journey {
            return step;
        }
        step.insert("name".to_owned(), "ask".into());
        let mut journey = json!({ "steps": [step] });
        if let (Some(journey), false) = (journey.as_object_mut(), sealed.is_empty()) {
            journey.insert("secrets".to_owned(), sealed.into());
        }
        Map::from_iter([("journey".to_owned(), journey)])
    }

    fn is_template(&self) -> bool {
        let parts = self.headers.values().chain(&self.body).chain([&self.url]);
        !self.sealed.is_empty() || parts.into_iter().any(|part| matches!(part, Text::Template(_)))
    }

    /// What the steps of a journey must know.
    pub(super) fn sealed(&self) -> &Map<String, Value> {
        &self.sealed
    }

    /// Returns `http` and `expect`.
    pub(super) fn into_step(self, expect: Map<String, Value>, is_journey: bool) -> Map<String, Value> {
        let mut http = self.settings;
        http.insert("url".to_owned(), self.url.written(is_journey));
        let headers: Map<String, Value> =
            self.headers.into_iter().map(|(name, value)| (name, value.written(is_journey))).collect();
        if !headers.is_empty() {
            http.insert("headers".to_owned(), headers.into());
        }
        if let Some(body) = self.body {
            http.insert("body".to_owned(), body.written(is_journey));
        }
        let mut step = Map::from_iter([("http".to_owned(), http.into())]);
        if !expect.is_empty() {
            step.insert("expect".to_owned(), expect.into());
        }
        step
    }
}

/// Returns a URL as people may see it: without who signs in, and without a query that holds a secret.
pub(super) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_at(scheme_length(url));
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_secret = |part: &str| {
        part.split_once('=').is_some_and(|(key, value)| !value.is_empty() && is_secret_name(&decoded(key)))
    };
    let behind = match behind.split_once('?') {
        Some((path, query)) if query.split('&').any(is_secret) => path,
        _ => behind,
    };
    format!("{scheme}{host}{behind}")
}

/// Returns how long the scheme at the beginning of a URL is, with its `://`; 0 if there is none. One that follows elsewhere,
/// as in a query, is none.
pub(super) fn scheme_length(url: &str) -> usize {
    let is_scheme = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).map_or(0, |(scheme, _)| scheme.len() + 3)
}

/// Undoes percent-encoding (RFC 3986 section 2.1). What was a variable before still is one; what becomes one is a text.
pub(super) fn decoded(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8_lossy().into_owned();
    if has_variable(text) { decoded } else { decoded.replace("$${", "${").replace("${", "$${") }
}

/// True of a JSON document or a form with a member that is secret by its name, and no variable.
pub(super) fn names_secret(body: &str) -> bool {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut rest = body.trim_start_matches(|c| !is_of_word(c));
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()));
        let next = behind.trim_start_matches(['"', '\'', ' ']).strip_prefix([':', '=']);
        let value = next.map(|value| value.trim_start_matches(['"', '\'', ' ']));
        if is_secret_name(word) && value.is_some_and(|value| !value.is_empty() && !value.starts_with("${")) {
            return true;
        }
        rest = behind.trim_start_matches(|c| !is_of_word(c));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_leave_a_request_for_files() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        let plain = |text: &str| Text::Plain(text.to_owned());
        let mut request =
            Request::new(plain("https://me:p%40ss@x.example/a?b=1&api_key=sesame"), "web", &secrets).unwrap();
        assert!(request.header("X-Api-Token", plain("hunter2")).unwrap());
        assert!(request.header("Accept", plain("{{ text }}")).unwrap());
        assert!(!request.header("Content-Length", plain("5")).unwrap());
        request.body(plain(r#"{"password": "swordfish"}"#)).unwrap();
        let check = Value::Object(request.into_check(Map::new()));
        let text = check.to_string();
        for secret in ["p@ss", "sesame", "hunter2", "swordfish"] {
            assert!(!text.contains(secret), "{text}");
        }
        let http = &check["journey"]["steps"][0]["http"];
        assert_eq!(http["url"], "https://x.example/a?b=1&api_key={{ secrets.api_key }}");
        assert_eq!(http["body"], "{{ secrets.body|safe }}");
        assert_eq!(http["headers"]["Accept"], "{% raw %}{{ text }}{% endraw %}");
        assert_eq!(http["basic"]["username"], "me");
        assert_eq!(std::fs::read_to_string(folder.path().join("web-password")).unwrap(), "p@ss\n");
    }

    #[test]
    fn a_url_is_shown_without_what_is_secret_in_it() {
        for (url, shown) in [
            ("https://me:p%40ss@x.example:8443/a?b=1", "https://x.example:8443/a?b=1"),
            ("https://x.example/a?b=1&api_key=sesame", "https://x.example/a"),
            ("https://x.example?token=", "https://x.example?token="),
            ("me:pass@x.example", "x.example"),
            ("me:pass@x.example/?next=http://y", "x.example/?next=http://y"),
            ("x.example:25", "x.example:25"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(without_secrets(url), shown, "{url}");
        }
    }

    #[test]
    fn a_body_names_a_secret_wherever_its_word_stood_before() {
        for (body, expected) in [
            (r#"{"token_type": "", "token": "hunter2"}"#, true),
            (r#"{"ask": "password", "password": "hunter2"}"#, true),
            ("user=me&user_password=hunter2", true),
            ("password", false),
            ("password=", false),
            (r#"{"password": "${PASSWORD}", "name": "token"}"#, false),
            ("", false),
        ] {
            assert_eq!(names_secret(body), expected, "{body}");
        }
    }

    #[test]
    fn a_request_without_secrets_stays_a_plain_check() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path());
        let mut request =
            Request::new(Text::Plain("https://me:${PASSWORD}@${HOST}/?token=${TOKEN}&b=1".to_owned()), "web", &secrets)
                .unwrap();
        request.header("Authorization", Text::Plain("Bearer ${TOKEN}".to_owned())).unwrap();
        request.body(Text::Plain("{\"password\": \"${PASSWORD}\", \"text\": \"{{ kept }}\"}".to_owned())).unwrap();
        let both = Text::Plain("{\"password\": \"hunter2\", \"text\": \"${TEXT}\"}".to_owned());
        assert!(request.body(both).unwrap_err().contains("beside a variable"));
        let check = Value::Object(request.into_check(Map::new()));
        assert_eq!(check["http"]["url"], "https://${HOST}/?token=${TOKEN}&b=1");
        assert_eq!(check["http"]["basic"], serde_json::json!({ "username": "me", "password": "${PASSWORD}" }));
        assert_eq!(check["http"]["headers"]["Authorization"], "Bearer ${TOKEN}");
        assert_eq!(check["http"]["body"], "{\"password\": \"${PASSWORD}\", \"text\": \"{{ kept }}\"}");
    }
}
