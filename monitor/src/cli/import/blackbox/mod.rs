//! Scrape jobs of Prometheus that ask blackbox_exporter, and its modules, as checks of ours: each target becomes a service,
//! each job that asks it a check.

use std::collections::BTreeMap;
use std::path::Path;

use kit::config::Node;
use serde_json::{Map, Value, json};

use super::super::json::at;
use super::Imported;
use super::keys::Keys;
use super::names::Names;
use super::request::names_secret;
use super::secrets::is_secret_name;

/// Prometheus' own defaults.
const MODULE: &str = "http_2xx";
const INTERVAL: &str = "1m";
/// What is said of a secret in place of printing it.
const LITERAL: &str = "a secret that stands in the file; write it into a file of its own";

/// Reads both files and makes checks of them.
///
/// # Errors
/// One of them cannot be read.
pub(super) fn import(prometheus: &Path, modules: &Path) -> Result<Imported, String> {
    let (scrapes, modules) = (read(prometheus)?, read(modules)?);
    let mut imported = Imported::default();
    let mut services: Map<String, Value> = Map::new();
    let (mut of_targets, mut of_jobs) = (Named::default(), Named::default());
    let global = at(at(&scrapes, "global"), "scrape_interval").as_str().unwrap_or(INTERVAL).to_owned();
    for job in at(&scrapes, "scrape_configs").as_array().into_iter().flatten() {
        if at(job, "metrics_path").as_str() != Some("/probe") {
            continue;
        }
        let name = at(job, "job_name").as_str().unwrap_or("blackbox");
        let module_name = at(at(job, "params"), "module").get(0).and_then(Value::as_str).unwrap_or(MODULE);
        let Some(module) = at(&modules, "modules").get(module_name) else {
            imported.left_out.push(format!("job {name}: there is no module {module_name:?}"));
            continue;
        };
        let every = at(job, "scrape_interval").as_str().unwrap_or(&global).to_owned();
        let targets = targets(job, name, &mut imported.left_out);
        for (position, target) in targets.iter().enumerate() {
            let mut left_out = Vec::new();
            let check = check(module_name, module, target, &mut left_out);
            // What a module has that we do not is the same for each target.
            if position == 0 {
                imported.left_out.append(&mut left_out);
            }
            let Some(mut check) = check else { continue };
            check.insert("every".to_owned(), every.clone().into());
            if let Some(timeout) = module.get("timeout") {
                check.insert("timeout".to_owned(), timeout.clone());
            }
            let service = services.entry(of_targets.name(target));
            let service = service.or_insert_with(|| json!({ "about": target, "checks": {} }));
            if let Some(checks) = service.get_mut("checks").and_then(Value::as_object_mut) {
                checks.insert(of_jobs.name(name), Value::Object(check));
            }
        }
    }
    if services.is_empty() {
        return Err(format!("{}: no job asks blackbox_exporter (metrics_path: /probe)", prometheus.display()));
    }
    imported.config.insert("services".to_owned(), Value::Object(services));
    Ok(imported)
}

fn read(file: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let node = Node::parse(&file.display().to_string(), &text);
    Ok(node.map_err(|(place, message)| format!("{place}: {message}"))?.to_json())
}

fn targets(job: &Value, name: &str, left_out: &mut Vec<String>) -> Vec<String> {
    for key in job.as_object().into_iter().flat_map(Map::keys) {
        if key.ends_with("_sd_configs") {
            left_out.push(format!("job {name}: {key}; write its targets down, or find containers with discover"));
        }
    }
    let groups = at(job, "static_configs").as_array().into_iter().flatten();
    let listed = groups.flat_map(|group| at(group, "targets").as_array().into_iter().flatten());
    listed.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Names by what they were made of.
#[derive(Debug, Default)]
struct Named {
    names: Names,
    known: BTreeMap<String, String>,
}

impl Named {
    /// Returns the name of a target or job: the same each time, and nobody else's.
    fn name(&mut self, text: &str) -> String {
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
        self.known.entry(text.to_owned()).or_insert_with(|| self.names.take(&[bare, text])).clone()
    }
}

/// Returns the check that a module comes to for this target.
fn check(name: &str, module: &Value, target: &str, left_out: &mut Vec<String>) -> Option<Map<String, Value>> {
    let prober = module.get("prober").and_then(Value::as_str)?;
    let mut options = Options { keys: Keys::new(format!("module {name}"), at(module, prober)), left_out };
    let (settings, expect) = match prober {
        "http" => http(&mut options, target),
        "tcp" => (tcp(&mut options, target), Map::new()),
        "icmp" => (icmp(&mut options, target), Map::new()),
        "dns" => (dns(&mut options, target), Map::new()),
        "grpc" => (grpc(&mut options, target), Map::new()),
        other => {
            options.leave(&format!("there is no kind for prober {other:?}; ask it through the section blackbox"));
            return None;
        }
    };
    options.keys.end(options.left_out);
    let mut check = Map::new();
    check.insert(prober.to_owned(), Value::Object(settings));
    if !expect.is_empty() {
        check.insert("expect".to_owned(), Value::Object(expect));
    }
    Some(check)
}

/// The options of one prober.
struct Options<'a> {
    keys: Keys,
    left_out: &'a mut Vec<String>,
}

impl Options<'_> {
    fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.take(key)
    }

    fn is_on(&mut self, key: &str) -> bool {
        self.keys.flag(key) == Some(true)
    }

    /// Says what has no equivalent.
    fn leave(&mut self, what: &str) {
        self.left_out.push(format!("{}: {what}", self.keys.who));
    }

    fn ip(&mut self, settings: &mut Map<String, Value>) {
        let preferred = self.take("preferred_ip_protocol");
        let only = self.take("ip_protocol_fallback") == Some(Value::Bool(false));
        match preferred.as_ref().and_then(Value::as_str) {
            Some("ip4") => drop(settings.insert("ip".to_owned(), "ipv4".into())),
            _ if only => drop(settings.insert("ip".to_owned(), "ipv6".into())),
            _ => {}
        }
    }

    /// Takes `tls_config`; none if it says nothing.
    fn tls(&mut self) -> Option<Value> {
        let Some(Value::Object(theirs)) = self.take("tls_config") else { return None };
        let mut ours = Map::new();
        for (key, value) in theirs {
            let (key, value) = match key.as_str() {
                "insecure_skip_verify" if value == Value::Bool(true) => ("verify", Value::Bool(false)),
                "insecure_skip_verify" => continue,
                "ca_file" | "server_name" => (key.as_str(), value),
                "cert_file" => ("client_certificate_file", value),
                "key_file" => ("client_key_file", value),
                "min_version" if value == "TLS12" => ("min_version", "1.2".into()),
                "min_version" if value == "TLS13" => ("min_version", "1.3".into()),
                _ => {
                    self.leave(&format!("tls_config.{key}"));
                    continue;
                }
            };
            ours.insert(key.to_owned(), value);
        }
        Some(Value::Object(ours)).filter(|tls| tls.as_object().is_some_and(|tls| !tls.is_empty()))
    }

    /// Takes `tls` and `tls_config`.
    fn secrecy(&mut self, settings: &mut Map<String, Value>) {
        let (is_tls, tls) = (self.is_on("tls"), self.tls());
        if is_tls {
            settings.insert("tls".to_owned(), tls.unwrap_or_else(|| json!({})));
        }
    }
}

fn http(options: &mut Options<'_>, target: &str) -> (Map<String, Value>, Map<String, Value>) {
    let (mut ours, mut expect) = (Map::new(), Map::new());
    let url = if target.contains("://") { target.to_owned() } else { format!("http://{target}") };
    ours.insert("url".to_owned(), url.into());
    ours.extend(options.take("method").map(|method| ("method".to_owned(), method)));
    content(options, &mut ours);
    options.ip(&mut ours);
    if options.take("follow_redirects") == Some(Value::Bool(false)) || options.is_on("no_follow_redirects") {
        ours.insert("redirects".to_owned(), "none".into());
    }
    if let Some(tls) = options.tls() {
        ours.insert("tls".to_owned(), tls);
    }
    credentials(options, &mut ours);
    let _chosen_by_itself = options.take("enable_http2");
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
    (ours, expect)
}

/// Headers and body, without what is secret by its name.
fn content(options: &mut Options<'_>, ours: &mut Map<String, Value>) {
    let Some(Value::Object(theirs)) = options.take("headers") else { return body(options, ours) };
    let (secret, plain): (Map<_, _>, Map<_, _>) = theirs.into_iter().partition(|(name, _)| is_secret_name(name));
    for name in secret.keys() {
        options.leave(&format!("headers.{name}: {LITERAL}, and send it in a journey: secrets: {{ NAME: … }}"));
    }
    if !plain.is_empty() {
        ours.insert("headers".to_owned(), Value::Object(plain));
    }
    body(options, ours);
}

fn body(options: &mut Options<'_>, ours: &mut Map<String, Value>) {
    let Some(body) = options.take("body") else { return };
    if body.as_str().is_some_and(names_secret) {
        options.leave(&format!("body: {LITERAL}, and send it in a journey: secrets: {{ NAME: … }}"));
        return;
    }
    ours.insert("body".to_owned(), body);
}

fn credentials(options: &mut Options<'_>, ours: &mut Map<String, Value>) {
    if let Some(basic) = options.take("basic_auth") {
        let mut settings = Map::new();
        settings.insert("username".to_owned(), at(&basic, "username").clone());
        match at(&basic, "password_file") {
            Value::Null => {
                options.leave(&format!("basic_auth.password: {LITERAL}, basic: {{ password_file: … }}"));
            }
            file => drop(settings.insert("password_file".to_owned(), file.clone())),
        }
        ours.insert("basic".to_owned(), Value::Object(settings));
    }
    let bearer = options.take("authorization").map(|a| at(&a, "credentials_file").clone());
    match bearer.or_else(|| options.take("bearer_token_file")) {
        None => {}
        Some(Value::Null) => options.leave(&format!("authorization.credentials: {LITERAL}, bearer_file: …")),
        Some(file) => drop(ours.insert("bearer_file".to_owned(), file)),
    }
}

fn tcp(options: &mut Options<'_>, target: &str) -> Map<String, Value> {
    let mut ours = Map::new();
    ours.insert("address".to_owned(), target.into());
    options.ip(&mut ours);
    options.secrecy(&mut ours);
    let mut talk = Vec::new();
    for turn in options.take("query_response").as_ref().and_then(Value::as_array).into_iter().flatten() {
        if at(turn, "starttls") == &Value::Bool(true) {
            options.leave("query_response.starttls; for mail write kind smtp with starttls: true");
            break;
        }
        if let Some(expect) = at(turn, "expect").as_str() {
            // Theirs look at lines.
            talk.push(json!({ "expect_matches": format!("(?m){expect}") }));
        }
        if let Some(send) = at(turn, "send").as_str() {
            if send.contains("${") {
                options.leave(&format!("query_response.send: {send}; what was found cannot be sent back"));
                break;
            }
            talk.push(json!({ "send": format!("{send}\n") }));
        }
    }
    if !talk.is_empty() {
        ours.insert("talk".to_owned(), talk.into());
    }
    ours
}

fn icmp(options: &mut Options<'_>, target: &str) -> Map<String, Value> {
    let mut ours = Map::new();
    ours.insert("host".to_owned(), target.into());
    options.ip(&mut ours);
    if let Some(size) = options.take("payload_size") {
        ours.insert("size".to_owned(), size);
    }
    ours
}

fn dns(options: &mut Options<'_>, target: &str) -> Map<String, Value> {
    let mut ours = Map::new();
    let is_tls = options.is_on("dns_over_tls");
    let has_port = target.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if is_tls { 853 } else { 53 };
    let server = if has_port { target.to_owned() } else { format!("{target}:{port}") };
    ours.insert("server".to_owned(), server.into());
    for (theirs, key) in [("query_name", "name"), ("query_type", "type"), ("recursion_desired", "recursion")] {
        if let Some(value) = options.take(theirs) {
            ours.insert(key.to_owned(), value);
        }
    }
    options.ip(&mut ours);
    let transport = options.take("transport_protocol");
    let tls = options.tls();
    if is_tls {
        ours.insert("transport".to_owned(), "tls".into());
        ours.extend(tls.map(|tls| ("tls".to_owned(), tls)));
    } else if let Some(transport) = transport {
        ours.insert("transport".to_owned(), transport);
    }
    match options.take("valid_rcodes").as_ref().and_then(Value::as_array).map(Vec::as_slice) {
        Some([only]) => drop(ours.insert("rcode".to_owned(), only.clone())),
        Some([_, _, ..]) => options.leave("valid_rcodes: only one"),
        _ => {}
    }
    ours
}

fn grpc(options: &mut Options<'_>, target: &str) -> Map<String, Value> {
    let mut ours = Map::new();
    ours.insert("address".to_owned(), target.into());
    options.ip(&mut ours);
    if let Some(service) = options.take("service") {
        ours.insert("service".to_owned(), service);
    }
    options.secrecy(&mut ours);
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_name_of_its_own() {
        let mut named = Named::default();
        for (target, name) in [
            ("https://Shop.example.com/health?x=1", "shop-example-com-health-x-1"),
            ("10.0.0.1:9100", "10-0-0-1-9100"),
            ("[::1]:80", "1-80"),
            ("//", "unnamed"),
            ("http://a.example/", "a-example"),
            ("https://a.example/", "https-a-example"),
            ("a.example", "a-example-2"),
            ("http://a.example/", "a-example"),
        ] {
            assert_eq!(named.name(target), name, "{target}");
        }
    }
}
