//! Addresses that cannot work from inside a container.

use kit::config::Place;
use url::Url;

use crate::doctor::compose::{Project, Service};
use crate::doctor::finding::{Hit, Rule};

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "localhost-target",
        "localhost is the container itself",
        "Inside a container localhost is that container, where nobody listens on this port: the connection is always refused.",
        localhost,
    ),
    Rule::error(
        "wrong-target-port",
        "another service is asked on a port where it does not listen",
        "Between containers the port inside counts, not the published one: the connection is always refused.",
        wrong_port,
    ),
    Rule::warning(
        "target-unknown-service",
        "an address names a service that does not exist",
        "The name cannot be resolved: each try fails, and what starts with it is restarted for ever.",
        unknown,
    ),
    Rule::warning(
        "container-name-target",
        "a container's generated name is used as an address",
        "It changes with the project's name and with the number of replicas; the service's name stays.",
        generated_name,
    ),
];

/// An address in a service's environment or command.
struct Address<'a> {
    service: &'a Service,
    place: &'a Place,
    host: String,
    port: u16,
    shown: String,
}

fn addresses(project: &Project) -> Vec<Address<'_>> {
    let mut found = Vec::new();
    for service in project.services.iter().filter(|service| !service.shares_network()) {
        for variable in &service.environment {
            let Some(value) = &variable.value else { continue };
            if !is_for_browsers(&variable.name) {
                found.extend(in_text(service, &variable.place, value));
                let setting = (&variable.place, variable.name.as_str());
                found.extend(of_host_variable(service, setting, value));
                found.extend(of_own_host(project, service, setting, value));
            }
        }
        for command in &service.commands {
            found.extend(in_text(service, &command.place, &command.text));
        }
    }
    found
}

/// Names of settings that a browser or another machine reads, where localhost is a person's own.
fn is_for_browsers(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let outside = [
        "CORS",
        "ORIGIN",
        "PUBLIC",
        "VITE_",
        "REACT_APP",
        "EXTERNAL",
        "FRONTEND",
        "REDIRECT",
        "CALLBACK",
        "SITE_URL",
        "ROOT_URL",
        "BASE_URL",
        "APP_URL",
        "HOSTNAME_URL",
        "WEB_URL",
        "ALLOWED",
        "CSRF",
        "ADVERTISED",
        "_PROXY",
        "LISTEN",
        "BIND",
        "WEBSITE",
        "DOMAIN",
        "OVERWRITE",
        "KC_HOSTNAME",
        "NEXTAUTH_URL",
        "HOMEPAGE",
        "CANONICAL",
        "SERVER_NAME",
        "COOKIE",
    ];
    outside.iter().any(|word| name.contains(word))
}

fn in_text<'a>(service: &'a Service, place: &'a Place, text: &str) -> Vec<Address<'a>> {
    let mut found = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || "'\",;|<>()[]{}".contains(c)) {
        let word = word.find("://").map_or(word, |at| {
            let start = word.get(..at).and_then(|scheme| scheme.rfind('=')).map_or(0, |equals| equals + 1);
            word.get(start..).unwrap_or(word)
        });
        if !word.contains("://") {
            continue;
        }
        // Java's drivers write their own name before the URL (docs.oracle.com, java.sql.DriverManager).
        let word = word.strip_prefix("jdbc:").or_else(|| word.strip_prefix("r2dbc:")).unwrap_or(word);
        let Ok(url) = Url::parse(word) else { continue };
        let port = url.port_or_known_default().or_else(|| known_port(url.scheme()));
        if let (Some(host), Some(port)) = (url.host_str(), port) {
            let shown = format!("{}://{host}:{port}", url.scheme());
            found.push(Address { service, place, host: host.to_owned(), port, shown });
        }
    }
    found
}

fn known_port(scheme: &str) -> Option<u16> {
    Some(match scheme.split('+').next().unwrap_or(scheme) {
        "postgres" | "postgresql" => 5432,
        "redis" | "rediss" => 6379,
        "mysql" | "mariadb" => 3306,
        "mongodb" => 27017,
        "amqp" => 5672,
        "nats" => 4222,
        "sqlserver" => 1433,
        _ => return None,
    })
}

/// `REDIS_HOST=localhost`, with `REDIS_PORT` or the usual port of what its name says.
fn of_host_variable<'a>(service: &'a Service, (place, name): (&'a Place, &str), value: &str) -> Option<Address<'a>> {
    let stem = ["_HOST", "_HOSTNAME", "_SERVER", "_ADDR", "_ADDRESS"].iter().find_map(|end| name.strip_suffix(end))?;
    // An IPv6 address without brackets has no port.
    let (host, own_port) = match value.rsplit_once(':') {
        Some((before, _)) if before.contains(':') && !before.ends_with(']') => (value, None),
        Some((host, port)) => (host, port.parse().ok()),
        None => (value, None),
    };
    let beside = service.variable(&format!("{stem}_PORT")).and_then(|port| port.parse().ok());
    let lower = stem.to_ascii_lowercase();
    let usual = [
        ("redis", 6379),
        ("postgres", 5432),
        ("pg", 5432),
        ("mysql", 3306),
        ("mongo", 27017),
        ("rabbitmq", 5672),
        ("qdrant", 6333),
    ]
    .iter()
    .find(|(word, _)| lower.contains(word))
    .map(|(_, port)| *port);
    let port = own_port.or(beside).or(usual)?;
    Some(Address { service, place, host: host.to_owned(), port, shown: format!("{name}={value}") })
}

/// What leads to localhost in forms of which little else is sure: only that is asked of them.
fn of_own_host<'a>(
    project: &Project,
    service: &'a Service,
    (place, name): (&'a Place, &str),
    value: &str,
) -> Vec<Address<'a>> {
    let of = |host: &str, port: u16, shown: String| Address { service, place, host: host.to_owned(), port, shown };
    let mut found = Vec::new();
    // `KAFKA_BROKERS=localhost:9092,localhost:9093`.
    if ["_BROKER", "_BROKERS", "_SERVERS", "_HOSTS"].iter().any(|end| name.ends_with(end)) {
        let items = value.split(',').filter_map(|item| item.trim().rsplit_once(':'));
        let own = items.filter_map(|(host, port)| Some((host, port.parse().ok()?))).filter(|(host, _)| is_own(host));
        found.extend(own.map(|(host, port)| of(host, port, format!("{host}:{port}"))));
    }
    // `DB_HOST=localhost`, beside one database.
    let is_database = ["DB", "DATABASE"]
        .iter()
        .any(|stem| ["_HOST", "_HOSTNAME", "_SERVER"].iter().any(|end| name.ends_with(&format!("{stem}{end}"))));
    let stem = name.rsplit_once('_').map_or(name, |(stem, _)| stem);
    if is_database && is_own(value) && service.variable(&format!("{stem}_PORT")).is_none() {
        found.extend(only_database_port(project).map(|port| of(value, port, format!("{name}={value}"))));
    }
    found.extend(connection_string(value).and_then(|(host, port, shown)| {
        let port = port.or_else(|| only_database_port(project))?;
        Some(of(&host, port, shown))
    }));
    found
}

/// Ports of databases that a bare name may mean.
const DATABASE_PORTS: [u16; 4] = [1433, 3306, 5432, 27017];

fn only_database_port(project: &Project) -> Option<u16> {
    let port_of = |service: &Service| DATABASE_PORTS.into_iter().find(|port| service.facts.ports.contains(port));
    let mut ports = project.services.iter().filter_map(port_of);
    ports.next().filter(|_| ports.next().is_none())
}

/// Reads `Host=localhost;Port=5432;Database=x`, as drivers for .NET take it, and `host=localhost port=5432 dbname=x`
/// (postgresql.org/docs/current/libpq-connect, "Keyword/Value Connection Strings"), where the host is this container.
fn connection_string(value: &str) -> Option<(String, Option<u16>, String)> {
    let separator = if value.contains(';') { ';' } else { ' ' };
    let pairs: Vec<(String, &str)> = value
        .split(separator)
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim()))
        .collect();
    let find = |names: &[&str]| pairs.iter().find(|(key, _)| names.contains(&key.as_str())).map(|(_, value)| *value);
    find(&["database", "dbname", "initial catalog", "db"])?;
    let server = find(&["host", "server", "data source", "address"])?;
    let server = server.strip_prefix("tcp:").unwrap_or(server);
    // SQL Server's port stands behind a comma.
    let (host, port) = server.split_once(',').map_or((server, None), |(host, port)| (host, port.trim().parse().ok()));
    let beside = find(&["port"]).and_then(|port| port.parse().ok());
    let shown = match (port, beside) {
        (None, Some(port)) => format!("Host={host};Port={port}"),
        _ => format!("Host={server}"),
    };
    is_own(host).then(|| (host.to_owned(), port.or(beside), shown))
}

fn is_own(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1" | "0.0.0.0" | "[::]")
}

fn localhost(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for address in addresses(project).iter().filter(|address| is_own(&address.host)) {
        if address.service.listens_on().contains(&address.port) {
            continue;
        }
        let others = || project.services.iter().filter(|other| other.name != address.service.name);
        let inside = others().find(|other| other.listens_on().contains(&address.port));
        let target = match inside {
            Some(other) => Some((other, address.port)),
            None => others()
                .find_map(|other| other.ports.iter().find_map(|port| Some((other, port.inside_of(address.port)?)))),
        };
        let Some((other, port)) = target else { continue };
        let message = format!("{} leads to this container itself; {} listens on {port}", address.shown, other.name);
        let fix = address
            .shown
            .replace(&address.host, &other.name)
            .replace(&format!(":{}", address.port), &format!(":{port}"))
            .replace(&format!("Port={}", address.port), &format!("Port={port}"));
        hits.push(Hit::new(address.place, &address.service.name, message, fix));
    }
    hits
}

fn wrong_port(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for address in addresses(project) {
        let Some(other) = project.reached_by(&address.host) else { continue };
        if let Some((message, fix)) = wrong_port_of(other, address.port) {
            hits.push(Hit::new(address.place, &address.service.name, message, format!("{}:{fix}", other.name)));
        }
    }
    hits
}

/// Says what is wrong with asking `other` on `port`, and the port to ask instead.
pub(super) fn wrong_port_of(other: &Service, port: u16) -> Option<(String, u16)> {
    let listens = other.listens_on();
    let by_published = other.ports.iter().find_map(|published| published.inside_of(port));
    // Published ports tell little of what else it listens on: only a port of the host is surely the wrong one, and one
    // beside what a program of our own was told.
    let is_wrong = !listens.is_empty() && !listens.contains(&port);
    let by_image = !other.facts.ports.is_empty() && !other.may_listen_elsewhere();
    let is_sure = by_published.is_some() || other.told_port_at().is_some() || by_image;
    if !is_wrong || !is_sure || other.mentions(port) {
        return None;
    }
    // A port of the host that leads to where nobody listens is a mistake of its own.
    let led_to = by_published.filter(|inside| listens.contains(inside));
    let right = led_to.or_else(|| other.told_port_at().map(|(told, _)| told)).or_else(|| listens.first().copied())?;
    let known: Vec<String> = listens.iter().map(u16::to_string).collect();
    Some((format!("{} does not listen on {port} inside; it listens on {}", other.name, known.join(", ")), right))
}

/// Only a URL is surely an address, and only a name without dots one of this project.
fn unknown(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for address in addresses(project).iter().filter(|address| address.shown.contains("://")) {
        let host = &address.host;
        let is_name =
            host.starts_with(|c: char| c.is_ascii_alphabetic()) && !host.contains(['.', ':']) && !is_own(host);
        if !is_name || is_known(project, address.service, host) {
            continue;
        }
        let names: Vec<&str> = project.services.iter().map(|service| service.name.as_str()).collect();
        let near = kit::config::suggest(host, names.iter().copied());
        let message = format!("{} leads to {host:?}, which no service is called{near}", address.shown);
        let fix = names.iter().find(|name| !near.is_empty() && near.contains(&format!("{name:?}")));
        let fix = fix.map_or_else(
            || format!("extra_hosts: [\"{host}:192.0.2.7\"]   # if it is another machine; else the name of a service"),
            |name| address.shown.replacen(host.as_str(), name, 1),
        );
        hits.push(Hit::new(address.place, &address.service.name, message, fix));
    }
    hits
}

/// True for every name that something may answer to: here, in a profile that is not active, in a network of others, or
/// because the service is told where it is. A generated name is a mistake of its own.
pub(super) fn is_known(project: &Project, service: &Service, host: &str) -> bool {
    let in_others_network = project.networks.iter().any(|network| {
        let joins = service.node.child("networks").is_some_and(|networks| networks.child(&network.key).is_some());
        network.is_external && (joins || network.key == "default")
    });
    let is_told = ["extra_hosts", "external_links", "links"].iter().any(|key| {
        let items = crate::doctor::compose::items(service.node.child(key));
        let by_name = service.node.child(key).is_some_and(|node| node.child(host).is_some());
        by_name
            || items
                .iter()
                .filter_map(kit::config::Node::scalar_text)
                .any(|text| text.split([':', '=']).any(|part| part == host))
    });
    let is_generated = project.services.iter().any(|other| is_generated_of(other, host));
    project.reached_by(host).is_some()
        || project.inactive.iter().any(|name| name == host)
        || in_others_network
        || is_told
        || is_generated
}

fn is_generated_of(service: &Service, host: &str) -> bool {
    let stem = host.strip_suffix(&format!("-{}-1", service.name));
    let old = host.strip_suffix(&format!("_{}_1", service.name));
    stem.or(old).is_some_and(|prefix| !prefix.is_empty())
}

fn generated_name(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for address in addresses(project) {
        let found = project.services.iter().find(|other| is_generated_of(other, &address.host));
        let Some(other) = found.filter(|_| project.reached_by(&address.host).is_none()) else { continue };
        let message = format!("{} is the generated name of a container of {}", address.host, other.name);
        let fix = address.shown.replace(&address.host, &other.name);
        hits.push(Hit::new(address.place, &address.service.name, message, fix));
    }
    hits
}
