//! What an endpoint of Gatus asks, by its URL, as a kind of ours with its settings.

use serde_json::{Map, Value, json};

use super::super::keys::Keys;
use super::super::request::{Request, Text, names_secret};
use super::super::secrets::{Secrets, has_variable, is_secret_name};
use super::expectation::{Expected, Subject};
use super::fill::Known;

const SECRET: &str = "what it sends holds a secret; write that as ${VARIABLE}";

/// An endpoint whose URL, and who it is, are read.
pub(super) struct Target<'a> {
    pub(super) keys: &'a mut Keys,
    pub(super) url: String,
    /// Our name, which names of its secret files begin with.
    pub(super) name: &'a str,
    pub(super) secrets: &'a Secrets<'a>,
    pub(super) known: &'a Known,
    pub(super) left_out: &'a mut Vec<String>,
    pub(super) changed: &'a mut Vec<String>,
}

/// Returns what is asked, or why it cannot be asked here.
pub(super) fn subject(url: &str, has_dns: bool) -> Result<Subject, String> {
    if has_dns {
        return Ok(Subject::Dns);
    }
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    Ok(match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Subject::Http,
        "ws" | "wss" => Subject::WebSocket,
        "tcp" | "udp" | "tls" => Subject::Talk,
        "starttls" => Subject::Bare,
        "icmp" => Subject::Icmp,
        "grpc" | "grpcs" => Subject::Grpc,
        "ssh" => Subject::Ssh,
        "sctp" => return Err("there is no kind for SCTP; ask by exec".to_owned()),
        _ => {
            return Err(
                "what is asked cannot be told from its URL; write it like https://example.com/health".to_owned()
            );
        }
    })
}

impl<'a> Target<'a> {
    /// Returns the check: its kind, and what is expected.
    pub(super) fn check(&mut self, subject: Subject, expected: &mut Expected) -> Result<Map<String, Value>, String> {
        self.refuse_other_ways()?;
        match subject {
            Subject::Http => {
                let expect = self.expect(expected, true);
                Ok(self.request()?.into_check(expect))
            }
            Subject::WebSocket => self.websocket(expected),
            Subject::Talk => self.talk(expected),
            Subject::Dns => self.dns(expected),
            _ => self.other(subject, expected),
        }
    }

    /// What cannot be reached without them is not asked in vain.
    fn refuse_other_ways(&self) -> Result<(), String> {
        for (key, why) in [
            ("oauth2", "it signs in by OAuth 2; write a journey whose first step fetches the token"),
            ("identity-aware-proxy", "it goes through Google's identity-aware proxy, which is not spoken to"),
            ("tunnel", "it goes through a tunnel; run a monitor where the target can be reached"),
        ] {
            if self.keys.has_below("client", key) {
                return Err(why.to_owned());
            }
        }
        Ok(())
    }

    /// Reads everything that an HTTP request is made of.
    pub(super) fn request(&mut self) -> Result<Request<'a>, String> {
        let mut unknown = Vec::new();
        let url = self.known.fill(&self.url, &mut unknown);
        let mut request = Request::new(url, self.name, self.secrets)?;
        let method = self.keys.text("method");
        request.settings.extend(method.map(|method| ("method".to_owned(), method.into())));
        let headers = self.keys.take("headers").unwrap_or_default();
        for (name, value) in headers.as_object().into_iter().flatten() {
            let value = self.known.fill(&plain(value), &mut unknown);
            if !request.header(name, value)? {
                self.left_out.push(format!("{}: the header {name}, which every probe sets itself", self.keys.who));
            }
        }
        let body = self.keys.text("body");
        let is_graphql = self.keys.flag("graphql") == Some(true);
        if let Some(body) = body {
            let body = if is_graphql { json!({ "query": body }).to_string() } else { body };
            request.body(self.known.fill(&body, &mut unknown))?;
        }
        let has_type =
            headers.as_object().is_some_and(|map| map.keys().any(|key| key.eq_ignore_ascii_case("content-type")));
        if is_graphql && !has_type {
            request.header("Content-Type", Text::Plain("application/json".to_owned()))?;
        }
        self.client(&mut request.settings, "tls");
        let nobody =
            unknown.into_iter().map(|path| format!("{}: [CONTEXT].{path}, which nobody stores", self.keys.who));
        self.left_out.extend(nobody);
        Ok(request)
    }

    /// Takes `client:`; what it says of TLS goes under `tls`, or beside the rest if that is empty.
    fn client(&mut self, settings: &mut Map<String, Value>, under: &str) {
        let mut client = self.keys.keys("client");
        let _taken_by_the_check = client.take("timeout");
        let mut tls = Map::new();
        if client.flag("insecure") == Some(true) {
            tls.insert("verify".to_owned(), false.into());
        }
        let mut own = client.keys("tls");
        for (theirs, ours) in [("certificate-file", "client_certificate_file"), ("private-key-file", "client_key_file")]
        {
            tls.extend(own.text(theirs).map(|file| (ours.to_owned(), file.into())));
        }
        own.end(self.left_out);
        match under {
            "" => settings.extend(tls),
            _ if tls.is_empty() => {}
            under => _ = settings.insert(under.to_owned(), tls.into()),
        }
        if self.url.starts_with("http") {
            if client.flag("ignore-redirect") == Some(true) {
                settings.insert("redirects".to_owned(), "none".into());
            }
            settings.extend(client.text("proxy-url").map(|proxy| ("proxy".to_owned(), proxy.into())));
        }
        match client.text("network").as_deref() {
            Some("ip4") => _ = settings.insert("ip".to_owned(), "ipv4".into()),
            Some("ip6") => _ = settings.insert("ip".to_owned(), "ipv6".into()),
            _ => {}
        }
        client.end(self.left_out);
    }

    /// What stands behind the scheme, without a path.
    fn authority(&self) -> String {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        // A variable may have slashes of its own.
        let end = rest.find('/').filter(|_| !rest.contains("${")).unwrap_or(rest.len());
        rest.get(..end).unwrap_or(rest).to_owned()
    }

    fn address(&self, port: Option<u16>) -> Result<String, String> {
        let authority = self.authority();
        let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            (!host.contains(':') || host.ends_with(']')) && (port.parse::<u16>().is_ok() || port.contains("${"))
        });
        match port {
            _ if has_port => Ok(authority),
            Some(port) => Ok(format!("{authority}:{port}")),
            None => Err("its URL has no port".to_owned()),
        }
    }

    fn websocket(&mut self, expected: &mut Expected) -> Result<Map<String, Value>, String> {
        let body = self.keys.text("body");
        if holds_secret(&self.url) || body.as_deref().is_some_and(holds_secret) {
            return Err(SECRET.to_owned());
        }
        let mut settings = Map::from_iter([("url".to_owned(), json!(self.url))]);
        let mut headers = self.keys.keys("headers");
        if let Some(value) = headers.text("Authorization").or_else(|| headers.text("authorization")) {
            match value.strip_prefix("Bearer ") {
                Some(token) => self.secrets.put(&mut settings, "bearer", &format!("{}-bearer", self.name), token)?,
                None => self
                    .left_out
                    .push(format!("{}: Authorization; write basic: {{ username: …, password_file: … }}", headers.who)),
            }
        }
        let (open, secret): (Vec<_>, Vec<_>) = headers.rest().into_iter().partition(|(name, _)| !is_secret_name(name));
        let secret = secret
            .iter()
            .map(|(name, _)| format!("{}: the header {name}, which is a secret; write ${{VARIABLE}}", self.keys.who));
        self.left_out.extend(secret);
        if !open.is_empty() {
            settings.insert("headers".to_owned(), Value::Object(open.into_iter().collect()));
        }
        settings.extend(body.map(|body| ("talk".to_owned(), json!([{ "send": body }]))));
        self.client(&mut settings, "tls");
        Ok(with("websocket", settings, self.expect(expected, false)))
    }

    fn talk(&mut self, expected: &mut Expected) -> Result<Map<String, Value>, String> {
        let scheme = self.url.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        let mut settings = Map::from_iter([("address".to_owned(), json!(self.address(None)?))]);
        let mut step = Map::new();
        let body = self.keys.text("body");
        if body.as_deref().is_some_and(holds_secret) {
            return Err(SECRET.to_owned());
        }
        step.extend(body.map(|body| ("send".to_owned(), json!(body))));
        step.extend(expected.matches.pop().map(|regex| ("expect_matches".to_owned(), json!(regex))));
        let (kind, tls) = match scheme.as_str() {
            "tls" if step.is_empty() => ("tls", ""),
            "udp" => ("udp", "tls"),
            _ => ("tcp", "tls"),
        };
        match (kind, step.is_empty()) {
            ("udp", true) => {
                let why =
                    "it sends nothing, so that silence says nothing; write udp with send: …, and what is expected back";
                return Err(why.to_owned());
            }
            ("udp", false) => settings.extend(step),
            (_, false) => _ = settings.insert("talk".to_owned(), json!([step])),
            (_, true) => {}
        }
        self.client(&mut settings, tls);
        if scheme == "tls" && kind == "tcp" {
            settings.entry("tls").or_insert_with(|| json!({}));
        }
        Ok(with(kind, settings, self.expect(expected, false)))
    }

    fn dns(&mut self, expected: &mut Expected) -> Result<Map<String, Value>, String> {
        if self.url.contains("://") {
            return Err("a resolver is an address here; write server: 9.9.9.9:853 with transport: tls".to_owned());
        }
        let mut dns = self.keys.keys("dns");
        let mut settings = Map::from_iter([("server".to_owned(), json!(self.address(Some(53))?))]);
        for (theirs, ours) in [("query-name", "name"), ("query-type", "type")] {
            settings.extend(dns.text(theirs).map(|value| (ours.to_owned(), json!(value))));
        }
        dns.end(self.left_out);
        if !expected.answers.is_empty() {
            settings.insert("answer".to_owned(), json!(expected.answers));
            if expected.any_answer {
                settings.insert("match".to_owned(), "any".into());
            }
        }
        match expected.rcode.take() {
            Some(rcode) => _ = settings.insert("rcode".to_owned(), rcode.into()),
            None => {
                let note = "NOERROR and a record are wanted now; Gatus took any answer where no condition spoke of it";
                self.changed.push(format!("{}: {note}", self.keys.who));
            }
        }
        self.client(&mut settings, "tls");
        Ok(with("dns", settings, self.expect(expected, false)))
    }

    fn other(&mut self, subject: Subject, expected: &mut Expected) -> Result<Map<String, Value>, String> {
        let mut settings = Map::new();
        let (kind, tls) = match subject {
            Subject::Icmp => {
                settings.insert("host".to_owned(), self.authority().into());
                // As many as Gatus sends; three of ours tell more.
                settings.insert("packets".to_owned(), 1.into());
                ("icmp", "tls")
            }
            Subject::Ssh => {
                let mut ssh = self.keys.keys("ssh");
                if ssh.text("username").is_some() || self.keys.text("body").is_some() {
                    return Err("it runs a command over SSH; do that with exec".to_owned());
                }
                settings.insert("address".to_owned(), self.address(Some(22))?.into());
                ("ssh", "tls")
            }
            Subject::Grpc => {
                settings.insert("address".to_owned(), self.address(None)?.into());
                if self.url.to_ascii_lowercase().starts_with("grpcs") {
                    settings.insert("tls".to_owned(), json!({}));
                }
                ("grpc", "tls")
            }
            _ => {
                settings.insert("address".to_owned(), self.address(None)?.into());
                settings.insert("starttls".to_owned(), true.into());
                ("smtp", "tls")
            }
        };
        self.client(&mut settings, tls);
        Ok(with(kind, settings, self.expect(expected, false)))
    }

    /// Writes down what is expected.
    pub(super) fn expect(&mut self, expected: &mut Expected, is_http: bool) -> Map<String, Value> {
        let who = self.keys.who.clone();
        expected.write(is_http, &who, self.left_out, self.changed)
    }
}

/// True of what is sent over a socket with a secret that is no variable.
fn holds_secret(text: &str) -> bool {
    let signs_in = |line: &str| {
        let word = line.get(..5).unwrap_or_default().to_ascii_uppercase();
        (word == "AUTH " || word == "PASS ") && !has_variable(line)
    };
    names_secret(text) || text.lines().any(signs_in)
}

fn with(kind: &str, settings: Map<String, Value>, expect: Map<String, Value>) -> Map<String, Value> {
    let mut check = Map::from_iter([(kind.to_owned(), Value::Object(settings))]);
    if !expect.is_empty() {
        check.insert("expect".to_owned(), expect.into());
    }
    check
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
