//! Monitors of Kuma that ask servers in their own protocol.

use serde_json::{Map, Value, json};
use url::Url;

use super::Kuma;
use super::monitor::Made;
use super::tables::{count, flag, text};

/// Types without a kind of ours, and what does instead.
const ELSEWHERE: [(&str, &str); 16] = [
    ("grpc-keyword", "it calls a method by its protobuf; kind grpc asks the standard health service"),
    ("real-browser", "no browser is run here; write a journey"),
    ("sqlserver", "SQL Server is not spoken; watch its port with tcp, or ask by exec"),
    ("mongodb", "MongoDB is not spoken; watch its port with tcp, or ask by exec"),
    ("radius", "RADIUS is not spoken; ask by exec"),
    ("steam", "game servers are not asked; watch the port with udp"),
    ("gamedig", "game servers are not asked; watch the port with udp"),
    ("kafka-producer", "Kafka is not spoken; watch its port with tcp"),
    ("rabbitmq", "write kind amqp, or ask its management API with http"),
    ("snmp", "write kind snmp with its address, and what to get"),
    ("tailscale-ping", "write kind icmp with its address"),
    ("manual", "nothing is asked; announce it, or push to a heartbeat"),
    ("system-service", "write workload: { unit: NAME.service }"),
    ("globalping", "it asks from elsewhere; run a monitor there"),
    ("websocket-upgrade", "write kind websocket with its url"),
    ("sip-options", "SIP is not spoken; watch its port with tcp or udp"),
];

impl Kuma<'_> {
    pub(super) fn server(&mut self, row: &Value, kind: &str, service: &str, who: &str) -> Result<Made, String> {
        match kind {
            "port" => {
                let settings = Map::from_iter([("address".to_owned(), json!(address(row, None)?))]);
                Ok(Made::check("tcp", settings, Map::new()))
            }
            "ping" => {
                let mut settings = Map::from_iter([("host".to_owned(), json!(hostname(row)?))]);
                settings.insert("packets".to_owned(), count(row, "ping_count").unwrap_or(1).clamp(1, 100).into());
                settings.extend(
                    count(row, "packet_size").filter(|size| *size != 56).map(|size| ("size".to_owned(), size.into())),
                );
                Ok(Made::check("icmp", settings, Map::new()))
            }
            "dns" => dns(row),
            "mqtt" => self.mqtt(row, service, who),
            "redis" => self.database(row, "redis", service),
            "postgres" => self.database(row, "postgres", service),
            "mysql" => self.database(row, "mysql", service),
            "smtp" => {
                let security = text(row, "smtp_security");
                let mut settings = Map::from_iter([("address".to_owned(), json!(address(row, Some(25))?))]);
                match security.as_deref() {
                    Some("secure") => _ = settings.insert("tls".to_owned(), json!({})),
                    Some("starttls") => _ = settings.insert("starttls".to_owned(), true.into()),
                    _ => {}
                }
                Ok(Made::check("smtp", settings, Map::new()))
            }
            other => {
                let known = ELSEWHERE.iter().find(|(name, _)| *name == other);
                Err(known.map_or("there is no such kind; ask by exec", |(_, instead)| instead).to_owned())
            }
        }
    }

    fn mqtt(&mut self, row: &Value, service: &str, who: &str) -> Result<Made, String> {
        let written = hostname(row)?;
        let (scheme, host) = written.split_once("://").unwrap_or(("mqtt", &written));
        let is_tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err("MQTT is spoken over TCP only".to_owned()),
        };
        let port = count(row, "port").unwrap_or(if is_tls { 8883 } else { 1883 });
        let mut settings = Map::from_iter([("address".to_owned(), json!(format!("{host}:{port}")))]);
        if is_tls {
            settings.insert("tls".to_owned(), json!({}));
        }
        let user = text(row, "mqtt_username");
        if let (Some(_), Some(password)) = (&user, text(row, "mqtt_password")) {
            self.secrets.put(&mut settings, "password", &format!("{service}-password"), &password)?;
        }
        settings.extend(user.map(|user| ("username".to_owned(), user.into())));
        if let Some(topic) = text(row, "mqtt_topic") {
            let why =
                "nobody waits for somebody else's message; with topic: monitor/probe one of its own is waited for";
            self.left_out.push(format!("{who}: the topic {topic}: {why}"));
        }
        Ok(Made::check("mqtt", settings, Map::new()))
    }

    fn database(&mut self, row: &Value, kind: &'static str, service: &str) -> Result<Made, String> {
        let written = text(row, "database_connection_string").ok_or("it has no connection string")?;
        // What it says may hold a password, and is never shown.
        let url = Url::parse(&written).ok().filter(Url::has_host);
        let url = url.ok_or("its connection string is no URL; write address, username and password_file")?;
        let usual = match kind {
            "redis" => 6379,
            "postgres" => 5432,
            _ => 3306,
        };
        let host = url.host_str().unwrap_or_default();
        let mut settings =
            Map::from_iter([("address".to_owned(), json!(format!("{host}:{}", url.port().unwrap_or(usual))))]);
        let user = super::super::request::decoded(url.username());
        let password = url.password().map(super::super::request::decoded).or_else(|| text(row, "radius_password"));
        match (kind, user.is_empty()) {
            ("postgres", true) => {
                return Err("its connection string names no user; write kind postgres with username".to_owned());
            }
            (_, false) if kind != "redis" || user != "default" => {
                _ = settings.insert("username".to_owned(), user.clone().into())
            }
            _ => {}
        }
        if let Some(password) = password.filter(|_| kind == "redis" || !user.is_empty()) {
            self.secrets.put(&mut settings, "password", &format!("{service}-password"), &password)?;
        }
        let database = super::super::request::decoded(url.path().trim_matches('/'));
        match (kind, database.is_empty()) {
            (_, true) => {}
            ("redis", false) => {
                settings.extend(database.parse::<u16>().ok().map(|number| ("database".to_owned(), number.into())))
            }
            (_, false) => _ = settings.insert("database".to_owned(), database.into()),
        }
        if kind != "redis" {
            settings.extend(
                text(row, "database_query").map(|query| ("query".to_owned(), query.trim_end_matches(';').into())),
            );
        }
        let asks_for_tls = url.query_pairs().any(|(key, value)| {
            matches!(key.as_ref(), "ssl" | "sslmode" | "tls")
                && !matches!(value.as_ref(), "false" | "disable" | "prefer" | "allow")
        });
        if asks_for_tls || url.scheme() == "rediss" {
            let tls = if flag(row, "ignore_tls") { json!({ "verify": false }) } else { json!({}) };
            settings.insert("tls".to_owned(), tls);
        }
        Ok(Made::check(kind, settings, Map::new()))
    }
}

fn hostname(row: &Value) -> Result<String, String> {
    text(row, "hostname").map(|host| host.trim().to_owned()).ok_or_else(|| "it has no hostname".to_owned())
}

fn address(row: &Value, usual: Option<u64>) -> Result<String, String> {
    let (host, port) = (hostname(row)?, count(row, "port").or(usual).ok_or("it has no port")?);
    let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
    Ok(if is_bare_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

fn dns(row: &Value) -> Result<Made, String> {
    let mut settings = Map::from_iter([("name".to_owned(), json!(hostname(row)?))]);
    settings.extend(text(row, "dns_resolve_type").map(|kind| ("type".to_owned(), kind.into())));
    // Of several servers the first is asked.
    let server = text(row, "dns_resolve_server").unwrap_or_else(|| "1.1.1.1".to_owned());
    let server = server.split(',').next().unwrap_or_default().trim().to_owned();
    let port = count(row, "port").unwrap_or(53);
    let is_bare_ipv6 = server.contains(':') && !server.starts_with('[');
    let server = if is_bare_ipv6 { format!("[{server}]:{port}") } else { format!("{server}:{port}") };
    settings.insert("server".to_owned(), server.into());
    Ok(Made::check("dns", settings, Map::new()))
}
