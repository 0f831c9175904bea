//! A module of blackbox_exporter as a check of ours: options that have an equivalent are taken, the others are said.

use kit::cli::at;
use serde_json::{Map, Value, json};

use super::super::keys::Keys;
use super::super::request::names_secret;
use super::super::secrets::Secrets;
use super::http;

/// Words of protocols that sign somebody in (RFC 1459, RFC 1939, RFC 4954, RFC 3501, Redis).
const SIGNING: [&str; 3] = ["PASS", "AUTH", "LOGIN"];

/// Who is asked by a module.
pub(super) struct Asked<'a> {
    pub(super) target: &'a str,
    /// What the target is called here.
    pub(super) service: &'a str,
    pub(super) secrets: &'a Secrets<'a>,
}

/// Returns the check that a module comes to for this target; none if there is no kind for it.
///
/// # Errors
/// A secret cannot be kept.
pub(super) fn check(
    name: &str,
    module: &Value,
    asked: &Asked<'_>,
    left_out: &mut Vec<String>,
) -> Result<Option<Map<String, Value>>, String> {
    let Some(prober) = module.get("prober").and_then(Value::as_str) else { return Ok(None) };
    let mut options = Options { keys: Keys::new(format!("module {name}"), at(module, prober)), left_out };
    let of_kind = |settings| Map::from_iter([(prober.to_owned(), Value::Object(settings))]);
    let check = match prober {
        "http" => http::check(&mut options, name, asked)?,
        "tcp" => of_kind(tcp(&mut options, asked.target)),
        "icmp" => of_kind(icmp(&mut options, asked.target)),
        "dns" => of_kind(dns(&mut options, asked.target)),
        "grpc" => of_kind(grpc(&mut options, asked.target)),
        other => {
            options.leave(&format!("there is no kind for prober {other:?}; ask it through the section blackbox"));
            return Ok(None);
        }
    };
    options.keys.end(options.left_out);
    Ok(Some(check))
}

/// The options of one prober.
pub(super) struct Options<'a> {
    pub(super) keys: Keys,
    left_out: &'a mut Vec<String>,
}

impl Options<'_> {
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.take(key)
    }

    pub(super) fn is_on(&mut self, key: &str) -> bool {
        self.keys.flag(key) == Some(true)
    }

    /// Says what has no equivalent.
    pub(super) fn leave(&mut self, what: &str) {
        self.left_out.push(format!("{}: {what}", self.keys.who));
    }

    pub(super) fn ip(&mut self, settings: &mut Map<String, Value>) {
        let preferred = self.take("preferred_ip_protocol");
        let only = self.take("ip_protocol_fallback") == Some(Value::Bool(false));
        match preferred.as_ref().and_then(Value::as_str) {
            Some("ip4") => drop(settings.insert("ip".to_owned(), "ipv4".into())),
            _ if only => drop(settings.insert("ip".to_owned(), "ipv6".into())),
            _ => {}
        }
    }

    /// Takes `tls_config`; none if it says nothing.
    pub(super) fn tls(&mut self) -> Option<Value> {
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
            if send.contains("$${") {
                // It is not quoted: what is sent may be a secret.
                options.leave("query_response.send with ${…}; what was found cannot be sent back");
                break;
            }
            if SIGNING.iter().any(|word| send.to_ascii_uppercase().contains(word)) || names_secret(send) {
                options
                    .leave("query_response.send, where it signs in; write the kind of the protocol, as redis or smtp");
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
