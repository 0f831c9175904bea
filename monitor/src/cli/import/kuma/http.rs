//! Monitors of Kuma that ask over HTTP: `http`, `keyword` and `json-query`.

use serde_json::{Map, Value, json};

use super::super::cel;
use super::super::request::{Request, Text};
use super::Kuma;
use super::monitor::{CERTIFICATE, Made};
use super::tables::{count, flag, id, nested, text};

impl Kuma<'_> {
    pub(super) fn http(&mut self, row: &Value, kind: &str, service: &str, who: &str) -> Result<Made, String> {
        let url = text(row, "url").ok_or("it has no url")?;
        let is_tls = url.to_ascii_lowercase().starts_with("https://");
        let mut request = Request::new(Text::Plain(url), service, self.secrets)?;
        let method = text(row, "method").filter(|method| !method.eq_ignore_ascii_case("get"));
        request.settings.extend(method.map(|method| ("method".to_owned(), method.into())));
        match text(row, "auth_method").as_deref() {
            Some("oauth2-cc") => {
                return Err("it signs in by OAuth 2; write a journey whose first step fetches the token".to_owned());
            }
            Some("ntlm") => return Err("it signs in by NTLM, which is not spoken here".to_owned()),
            Some("mtls") => self.identity(row, service, &mut request)?,
            _ => {
                if let Some(user) = text(row, "basic_auth_user") {
                    request.basic(&user, &text(row, "basic_auth_pass").unwrap_or_default())?;
                }
            }
        }
        if flag(row, "ignore_tls") && !request.settings.contains_key("tls") {
            request.settings.insert("tls".to_owned(), json!({ "verify": false }));
        }
        match count(row, "maxredirects").unwrap_or(10) {
            0 => _ = request.settings.insert("redirects".to_owned(), "none".into()),
            10 => {}
            most => _ = request.settings.insert("redirects".to_owned(), most.min(20).into()),
        }
        if let Some(family @ ("ipv4" | "ipv6")) = text(row, "ip_family").as_deref() {
            request.settings.insert("ip".to_owned(), family.into());
        }
        self.sent(row, who, &mut request)?;
        self.proxy(row, who, &mut request);
        let mut expect = self.expected(row, kind, who)?;
        if is_tls && flag(row, "expiry_notification") && !flag(row, "ignore_tls") {
            expect.insert("cert_valid_for".to_owned(), CERTIFICATE.into());
        }
        Ok(Made { check: Some(("http", request.into_check(expect))), workload: None })
    }

    /// Headers and body.
    fn sent(&mut self, row: &Value, who: &str, request: &mut Request<'_>) -> Result<(), String> {
        let headers = nested(row, "headers");
        let mut has_type = false;
        for (name, value) in headers.as_object().into_iter().flatten() {
            has_type |= name.eq_ignore_ascii_case("content-type");
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !request.header(name, Text::Plain(value))? {
                self.left_out.push(format!("{who}: the header {name}, which every probe sets itself"));
            }
        }
        let Some(body) = text(row, "body") else { return Ok(()) };
        let content_type = match text(row, "http_body_encoding").as_deref() {
            Some("xml") => "text/xml; charset=utf-8",
            Some("form") => "application/x-www-form-urlencoded",
            _ => "application/json",
        };
        if !has_type {
            request.header("Content-Type", Text::Plain(content_type.to_owned()))?;
        }
        request.body(Text::Plain(body))
    }

    fn proxy(&mut self, row: &Value, who: &str, request: &mut Request<'_>) {
        let Some(proxy) = id(row, "proxy_id").and_then(|id| self.tables.find("proxy", id)) else { return };
        if !flag(proxy, "active") {
            return;
        }
        match (text(proxy, "protocol").as_deref(), flag(proxy, "auth"), text(proxy, "host"), count(proxy, "port")) {
            (Some("http"), false, Some(host), Some(port)) => {
                request.settings.insert("proxy".to_owned(), format!("http://{host}:{port}").into());
            }
            _ => self.left_out.push(format!("{who}: its proxy; only http proxies without a password are spoken to")),
        }
    }

    /// A client certificate, whose parts stand in the database.
    fn identity(&self, row: &Value, service: &str, request: &mut Request<'_>) -> Result<(), String> {
        let mut tls = Map::new();
        for (theirs, ours) in
            [("tls_cert", "client_certificate_file"), ("tls_key", "client_key_file"), ("tls_ca", "ca_file")]
        {
            if let Some(pem) = text(row, theirs) {
                tls.insert(ours.to_owned(), self.secrets.place(&format!("{service}-{theirs}"), &pem)?.into());
            }
        }
        if !tls.is_empty() {
            request.settings.insert("tls".to_owned(), tls.into());
        }
        Ok(())
    }

    fn expected(&mut self, row: &Value, kind: &str, who: &str) -> Result<Map<String, Value>, String> {
        let mut expect = Map::new();
        let codes = match nested(row, "accepted_statuscodes_json") {
            Value::Null => nested(row, "accepted_statuscodes"),
            codes => codes,
        };
        let codes: Vec<String> = codes.as_array().into_iter().flatten().filter_map(status).collect();
        if !codes.is_empty() && codes != ["2xx"] {
            expect.insert("status".to_owned(), json!(codes));
        }
        match kind {
            "keyword" => {
                let keyword = text(row, "keyword").ok_or("it has no keyword")?;
                if flag(row, "invert_keyword") {
                    expect.insert("expr".to_owned(), format!("!body.contains({})", json!(keyword)).into());
                } else {
                    if keyword.contains('"') {
                        let note = "the answer is searched as it comes; Kuma wrote JSON anew, without spaces";
                        self.changed.push(format!("{who}: keyword: {note}"));
                    }
                    expect.insert("body_contains".to_owned(), json!([keyword]));
                }
            }
            "json-query" => self.query(row, who, &mut expect)?,
            _ => {}
        }
        Ok(expect)
    }

    /// A path of JSONata (jsonata.org) that is one of ours too, and what is wanted there.
    fn query(&mut self, row: &Value, who: &str, expect: &mut Map<String, Value>) -> Result<(), String> {
        let written = text(row, "json_path").ok_or("it has no query")?;
        let path = written.trim().trim_start_matches("$.").replace('`', "");
        let is_simple = path.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']'))
            && (!path.contains('-') || written.contains('`'));
        let place = if is_simple { cel::path(&path) } else { Err(String::new()) };
        let place = place.map_err(|_| format!("the query {written} is no plain path; write an expr"))?;
        let wanted = row.get("expected_value").and_then(Value::as_str).unwrap_or_default();
        let quoted = json!(wanted);
        let operator = text(row, "json_path_operator").unwrap_or_else(|| "==".to_owned());
        let is_text = wanted.parse::<f64>().is_err() && !matches!(wanted, "true" | "false" | "null" | "");
        let term = match operator.as_str() {
            "==" if is_text => {
                expect.insert("json".to_owned(), json!({ path: wanted }));
                return Ok(());
            }
            // Both sides are texts to Kuma.
            "==" | "!=" => format!("string({place}) {operator} {quoted}"),
            "contains" => format!("string({place}).contains({quoted})"),
            "<" | "<=" | ">" | ">=" => {
                let limit: f64 = wanted.parse().map_err(|_| format!("{wanted} is no number"))?;
                format!("double({place}) {operator} {}", cel::number(limit))
            }
            other => return Err(format!("there is no {other}")),
        };
        if operator == "!=" {
            self.changed.push(format!("{who}: {written}: a path that is missing is a fail now"));
        }
        expect.insert("expr".to_owned(), term.into());
        Ok(())
    }
}

/// `200-299` is `2xx`, as people write it.
fn status(code: &Value) -> Option<String> {
    let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
    let bounds = code.split_once('-').map_or((code.as_str(), code.as_str()), |bounds| bounds);
    let (low, high) = (bounds.0.trim().parse::<u16>().ok()?, bounds.1.trim().parse::<u16>().ok()?);
    // Kuma offers 100 to 999; no answer has more than 599.
    let (low, high) = (low.max(100), high.min(599));
    match () {
        () if low > high => None,
        () if low == high => Some(low.to_string()),
        () if low % 100 == 0 && high == low + 99 => Some(format!("{}xx", low / 100)),
        () => Some(format!("{low}-{high}")),
    }
}
