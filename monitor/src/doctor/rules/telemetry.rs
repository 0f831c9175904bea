//! Metrics, traces and logs that are sent where nobody takes them, or that nobody sends.

use kit::config::Place;
use url::Url;

use crate::doctor::compose::{Kind, Project, Service};
use crate::doctor::finding::{Hit, Rule};
use crate::supervise::shell::steps;

use super::instances::without_secret;

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::error(
        "remote-write-refused",
        "metrics are written to a Prometheus that takes none",
        "Prometheus answers 404 unless it is told to receive: what is written there is lost, and panels stay empty.",
        refused,
    ),
    Rule::warning(
        "traces-not-sent",
        "tracing is on, and nothing says where traces go",
        "Without an endpoint they go to localhost, which is this container: nobody listens there, and no trace ever arrives.",
        not_sent,
    ),
    Rule::warning(
        "logs-not-shipped",
        "a log store that nobody sends logs to",
        "It is up and healthy, and empty: on the day of the incident there is nothing to read.",
        not_shipped,
    ),
];

/// A way in that Prometheus opens only when told (prometheus.io/docs/prometheus/latest/feature_flags and
/// …/command-line/prometheus): its path, the flag, and the feature of older versions.
struct Receiver {
    path: &'static str,
    flag: &'static str,
    feature: &'static str,
    /// The first minor version of 2.x that knows the flag; none if only 3.x does.
    since: Option<u64>,
}

const RECEIVERS: [Receiver; 2] = [
    Receiver {
        path: "/api/v1/write",
        flag: "--web.enable-remote-write-receiver",
        feature: "remote-write-receiver",
        since: Some(33),
    },
    Receiver { path: "/api/v1/otlp", flag: "--web.enable-otlp-receiver", feature: "otlp-write-receiver", since: None },
];

impl Receiver {
    fn is_open(&self, service: &Service) -> bool {
        let words: Vec<String> = words_of(service);
        let features = words.iter().filter_map(|word| word.strip_prefix("--enable-feature="));
        let has_feature = features.flat_map(|list| list.split(',')).any(|feature| feature == self.feature);
        // A Dockerfile's command is not taken apart.
        let is_told = |text: &str| text.contains(self.flag) && !text.contains(&format!("{}=false", self.flag));
        has_feature || service.commands.iter().any(|command| is_told(&command.text))
    }

    /// Returns what opens it in the version that the service runs.
    fn opened_by(&self, service: &Service) -> String {
        let tag = service.image.as_ref().and_then(|image| image.text.rsplit_once(":v2.")).map(|(_, rest)| rest);
        let minor = tag.and_then(|rest| rest.split('.').next()?.parse::<u64>().ok());
        match minor {
            Some(minor) if self.since.is_none_or(|since| minor < since) => format!("--enable-feature={}", self.feature),
            _ => self.flag.to_owned(),
        }
    }
}

fn words_of(service: &Service) -> Vec<String> {
    service.commands.iter().flat_map(|command| steps(&command.text)).flat_map(|step| step.words).collect()
}

/// A URL that a service is told of, and where.
struct Told {
    place: Place,
    url: Url,
}

/// Returns the URLs with this path in what a service is told: its environment, command and mounted configurations.
fn told(service: &Service, path: &str) -> Vec<Told> {
    let mut found = Vec::new();
    let mut look = |text: &str, place: &dyn Fn(usize) -> Place| {
        for (at, _) in text.match_indices(path) {
            let before = text.get(..at).unwrap_or_default();
            let start = before.rfind(|c: char| c.is_whitespace() || "'\"=,([{<".contains(c)).map_or(0, |end| end + 1);
            let url = text.get(start..at + path.len()).and_then(|url| Url::parse(url).ok());
            found.extend(url.filter(|_| !is_comment(before)).map(|url| Told { place: place(start), url }));
        }
    };
    for variable in &service.environment {
        look(variable.value.as_deref().unwrap_or_default(), &|_| variable.place.clone());
    }
    for command in &service.commands {
        look(&command.text, &|_| command.place.clone());
    }
    for mounted in &service.mounted {
        look(&mounted.text, &|at| mounted.place_of(at));
    }
    found
}

/// True if the text ends within a comment of its line.
fn is_comment(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
    line.starts_with('#') || line.starts_with("//")
}

fn refused(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for receiver in &RECEIVERS {
        for target in project.services.iter().filter(|service| is_stock_prometheus(service)) {
            let names = target.names();
            let writers = project.services.iter().filter(|writer| writer.name != target.name);
            let mut all =
                writers.flat_map(|writer| told(writer, receiver.path).into_iter().map(move |told| (writer, told)));
            let writes =
                all.find(|(_, told)| told.url.host_str().is_some_and(|host| names.iter().any(|own| own == host)));
            let Some((writer, told)) = writes.filter(|_| !receiver.is_open(target)) else { continue };
            let flag = receiver.opened_by(target);
            let message = format!(
                "{} writes to {} ({}:{}), and {} is not told {flag}",
                writer.name,
                without_secret(told.url.as_str()),
                told.place.file,
                told.place.line,
                target.name
            );
            hits.push(Hit::new(target.place_of("command"), &target.name, message, command_with(target, &flag)));
        }
    }
    hits
}

/// An image or entry point of somebody's own may bring flags that nobody sees here.
fn is_stock_prometheus(service: &Service) -> bool {
    let is_stock = service.facts.is(Kind::Monitor)
        || service.image.as_ref().is_some_and(|image| image.text.starts_with("quay.io/prometheus/prometheus"));
    service.facts.name == "prometheus" && is_stock && service.node.child("entrypoint").is_none()
}

/// Returns the command with one more word; a command replaces the image's own, which is then written out.
fn command_with(service: &Service, word: &str) -> String {
    let mut words = match service.node.child("command") {
        Some(_) => words_of(service),
        None => ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
            .map(str::to_owned)
            .to_vec(),
    };
    words.push(word.to_owned());
    let quoted = |word: &String| serde_json::Value::from(word.as_str()).to_string().replace('$', "$$");
    let lines: String = words.iter().map(|word| format!("\n  - {}", quoted(word))).collect();
    format!("command:{lines}")
}

/// Words in names of settings that say where traces go.
const WHERE: [&str; 7] = ["ENDPOINT", "COLLECTOR", "JAEGER", "ZIPKIN", "OTLP", "TEMPO", "AGENT_HOST"];

fn not_sent(project: &Project) -> Vec<Hit> {
    // It may stand in what was left out.
    if !project.is_read_whole {
        return Vec::new();
    }
    let takes = |service: &&Service| service.is_observability() && service.listens_on().contains(&4317);
    let collectors: Vec<&Service> = project.services.iter().filter(takes).collect();
    let is_collector = |service: &&&Service| service.facts.name.starts_with("opentelemetry-collector");
    let Some(target) = collectors.iter().find(is_collector).or(collectors.first()) else { return Vec::new() };
    let mut hits = Vec::new();
    let ours = project.services.iter().filter(|service| service.facts.kind.is_none_or(|kind| kind == Kind::Base));
    for service in ours.filter(|service| service.missing_env_files.is_empty() && !service.shares_network()) {
        let is_named = |text: &str| collectors.iter().any(|one| text.contains(&one.name));
        let is_off = service.variable("OTEL_SDK_DISABLED") == Some("true");
        let says_where = service.environment.iter().any(|variable| {
            WHERE.iter().any(|word| variable.name.contains(word)) || variable.value.as_deref().is_some_and(is_named)
        });
        let by_file = service.mounted.iter().any(|mounted| is_named(&mounted.text));
        let by_command = service.commands.iter().any(|command| is_named(&command.text));
        let Some(on) = service.environment.iter().find(|variable| turns_on(&variable.name, variable.value.as_deref()))
        else {
            continue;
        };
        if is_off || says_where || by_command || by_file {
            continue;
        }
        let message =
            format!("{}={} and no OTEL_EXPORTER_OTLP_ENDPOINT", on.name, on.value.as_deref().unwrap_or_default());
        let fix = format!("OTEL_EXPORTER_OTLP_ENDPOINT: http://{}:4317   # 4318 for OTLP over HTTP", target.name);
        hits.push(Hit::new(&on.place, &service.name, message, fix));
    }
    hits
}

/// True for a setting that turns tracing on (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).
fn turns_on(name: &str, value: Option<&str>) -> bool {
    let value = value.unwrap_or_default();
    match name {
        "OTEL_SERVICE_NAME" => !value.is_empty(),
        "OTEL_TRACES_EXPORTER" => value.split(',').any(|exporter| exporter.trim() == "otlp"),
        "TRACING_ENABLED" | "ENABLE_TRACING" | "OTEL_ENABLED" => matches!(value, "true" | "1" | "yes" | "on"),
        _ => false,
    }
}

/// Images whose work it is to send logs on; what they are told may be anywhere.
const SHIPPERS: [&str; 8] = [
    "promtail",
    "alloy",
    "grafana/agent",
    "fluent",
    "timberio/vector",
    "opentelemetry-collector",
    "logstash",
    "filebeat",
];

fn not_shipped(project: &Project) -> Vec<Hit> {
    if !project.is_read_whole {
        return Vec::new();
    }
    let stores: Vec<&Service> = project.services.iter().filter(|service| service.facts.name == "loki").collect();
    let has_reader = project.services.iter().any(|service| service.facts.name.starts_with("grafana"));
    // A project of telemetry alone that publishes its store keeps the logs of others, who send them from outside.
    let is_published = stores.iter().any(|store| store.ports.iter().any(|port| port.inside.contains(&3100)));
    let is_open = is_published && !project.services.iter().any(has_own_logs);
    let Some(store) = stores.first().filter(|_| has_reader && !is_open) else { return Vec::new() };
    let names: Vec<String> = stores.iter().flat_map(|store| store.names()).collect();
    let is_sender = |service: &Service| {
        let image = service.image.as_ref().map(|image| image.text.to_ascii_lowercase()).unwrap_or_default();
        let driver = service.node.child("logging").and_then(|logging| logging.child("driver"));
        let by_driver = driver.and_then(kit::config::Node::scalar_text).is_some_and(|driver| driver.contains("loki"));
        by_driver || SHIPPERS.iter().any(|name| image.contains(name)) || mentions(service, &names)
    };
    let others = || project.services.iter().filter(|service| !names.contains(&service.name));
    if others().any(|service| is_sender(service) && !service.facts.name.starts_with("grafana")) {
        return Vec::new();
    }
    let message = format!("nothing in this project sends logs to {}", store.name);
    let fix = format!(
        "alloy:\n  image: grafana/alloy:v1.4.2\n  volumes: [\"./config.alloy:/etc/alloy/config.alloy:ro\"]\n\
         # config.alloy: a loki.source.docker, forwarded to\n\
         # loki.write \"logs\" {{ endpoint {{ url = \"http://{}:3100/loki/api/v1/push\" }} }}",
        store.name
    );
    vec![Hit::new(&store.place, &store.name, message, fix)]
}

/// True for a program of one's own, whose logs a store beside it is for.
fn has_own_logs(service: &Service) -> bool {
    service.facts.kind.is_none_or(|kind| kind == Kind::Base) && !service.facts.name.ends_with("exporter")
}

/// True if anything that a service is told leads to one of these names: `//loki:3100`, or its way in.
fn mentions(service: &Service, names: &[String]) -> bool {
    let is_told = |text: &str| {
        text.contains("/loki/api/v1/push") || names.iter().any(|name| text.contains(&format!("{name}:3100")))
    };
    let environment = service.environment.iter().filter_map(|variable| variable.value.as_deref());
    let commands = service.commands.iter().map(|command| command.text.as_str());
    let mounted = service.mounted.iter().map(|mounted| mounted.text.as_str());
    let by_host = |name: &str, value: &str| name.contains("LOKI") && names.iter().any(|own| own == value);
    environment.chain(commands).chain(mounted).any(is_told)
        || service
            .environment
            .iter()
            .any(|variable| by_host(&variable.name, variable.value.as_deref().unwrap_or_default()))
}
