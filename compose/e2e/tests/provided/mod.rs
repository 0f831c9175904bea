//! What stands around the suite in containers, `compose/docker-compose.yml`: it is what it should be, and every part finds
//! the others.

use std::collections::{BTreeMap, BTreeSet};

use e2e::program;
use serde_json::Value;

use crate::given::{checked, repository};
use crate::shown::{dashboards, list};
use crate::unparsed;

/// Whom there is, on which ports of this machine.
const PORTS: [(&str, &[u16]); 5] = [
    ("alertmanager", &[9093]),
    ("grafana", &[3001]),
    ("loki", &[3100]),
    ("prometheus", &[9090]),
    ("tempo", &[3200, 4317, 4318]),
];

/// Where the programs read what decides where their log and traces go.
const READ_IN: [&str; 2] = ["services/kit/src/log/loki/settings.rs", "services/kit/src/trace/settings.rs"];

const FILE: &str = "compose/docker-compose.yml";

fn yaml(name: &str) -> Value {
    let text = std::fs::read_to_string(repository().join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The services of the file by their names.
fn services() -> BTreeMap<String, Value> {
    serde_json::from_value(yaml(FILE)["services"].clone()).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

/// A path of the file, which is relative to its folder, from the root of this repository.
fn from_root(path: &str) -> Option<String> {
    path.strip_prefix("../").map(str::to_owned).or_else(|| Some(format!("compose/{}", path.strip_prefix("./")?)))
}

/// Where a service is shown files of this repository: from path to path.
fn mounts(service: &Value) -> BTreeMap<String, String> {
    let mount = |volume: &str| {
        let mut parts = volume.split(':');
        Some((from_root(parts.next()?)?, parts.next()?.to_owned()))
    };
    texts(&service["volumes"]).into_iter().filter_map(mount).collect()
}

/// The ports of this machine's loopback on which a service listens; it must not listen elsewhere.
fn listening(service: &Value) -> Vec<u16> {
    if service["network_mode"] != "host" {
        assert_eq!(texts(&service["networks"]), ["observability"]);
        let port = |published: &str| published.strip_prefix("127.0.0.1:")?.split(':').next()?.parse().ok();
        return texts(&service["ports"]).into_iter().map(|it| port(it).unwrap_or_else(|| panic!("{it}"))).collect();
    }
    assert!(service["ports"].is_null(), "{service}");
    let options = texts(&service["command"]);
    let listen = options.iter().find_map(|option| option.strip_prefix("--web.listen-address=127.0.0.1:"));
    let settings = &service["environment"];
    let of_grafana = (settings["GF_SERVER_HTTP_ADDR"] == "127.0.0.1").then_some(&settings["GF_SERVER_HTTP_PORT"]);
    let port = listen.or(of_grafana.and_then(Value::as_str)).unwrap_or_else(|| panic!("where? {service}"));
    vec![port.parse().unwrap()]
}

#[test]
fn whoever_reads_secrets_may_and_nobody_else_can() {
    let secrets = yaml(FILE)["secrets"].as_object().unwrap().clone();
    let made = yaml("compose/local.yml");
    let mut shown = BTreeSet::new();
    for (name, service) in services() {
        let own: Vec<String> = list(&service["secrets"])
            .iter()
            .map(|secret| secret.as_str().or_else(|| secret["source"].as_str()).unwrap().to_owned())
            .collect();
        // They are readable for whoever runs the suite only, by whatever number.
        let reads = (service["user"] == "0:0", texts(&service["cap_drop"]), texts(&service["cap_add"]));
        if own.is_empty() {
            assert_eq!(reads, (false, vec![], vec![]), "{name}");
        } else {
            assert_eq!(reads, (true, vec!["ALL"], vec!["DAC_OVERRIDE"]), "{name}");
        }
        shown.extend(own);
    }
    assert_eq!(shown, secrets.keys().cloned().collect());
    for (name, secret) in secrets {
        let file = from_root(secret["file"].as_str().unwrap()).unwrap();
        assert!(texts(&made["make_secrets"]).contains(&&*file), "nobody makes {name}, {file}");
    }
    let password = &yaml("alerts/alertmanager.yml")["global"]["smtp_auth_password_file"];
    let secret = password.as_str().unwrap().strip_prefix("/run/secrets/").unwrap().to_owned();
    assert_eq!(services()["alertmanager"]["secrets"], serde_json::json!([secret]));
}

#[test]
fn what_people_are_told_to_type_leads_to_loki_and_tempo_for_each_service() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    for (variable, service, port) in [("LOKI_URL", "loki", 3100), ("OTEL_EXPORTER_OTLP_ENDPOINT", "tempo", 4318)] {
        let words = format!("{variable}=http://127.0.0.1:{port} ");
        let is_said = readme.lines().any(|line| line.contains(&words) && line.ends_with("make up"));
        assert!(is_said, "README.md does not say {words}");
        assert!(listening(&services()[service]).contains(&port), "{service}");
    }
}

/// What the monitor has and each service should have too: whatever is read but names, and secrets by their files.
fn handed_on() -> BTreeSet<String> {
    let mut found = BTreeSet::from(["LOG_LEVEL".to_owned()]);
    for file in READ_IN {
        let text = std::fs::read_to_string(repository().join(file)).unwrap();
        let is_name = |word: &&str| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let is_variable = |word: &&str| {
            ["ENVIRONMENT", "TRACING_ENABLED"].contains(word) || word.starts_with("OTEL_") || word.starts_with("LOKI_")
        };
        let names = text.split('"').skip(1).step_by(2).filter(is_name).filter(is_variable);
        let is_secret = |name: &str| ["PASSWORD", "TOKEN", "HEADERS"].iter().any(|end| name.ends_with(end));
        found.extend(names.map(|name| if is_secret(name) { format!("{name}_FILE") } else { name.to_owned() }));
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

#[test]
fn each_service_is_handed_on_whatever_decides_where_log_and_traces_go_and_how() {
    let handed = yaml("compose/local.yml");
    for name in ["api-gateway", "platform-services", "auth-monitor", "dlq-processor"] {
        let env = &handed["services"][name]["workload"]["process"]["env"];
        for variable in handed_on() {
            assert_eq!(env[&variable], format!("${{{variable}:-}}"), "{name}: {variable}");
        }
    }
}

#[test]
fn the_doctor_finds_nothing_and_each_container_is_bounded_asked_and_needed_by_nobody() {
    let file = repository().join(FILE);
    checked("docker-compose", &["-f", file.to_str().unwrap(), "config", "--quiet"], "");
    checked(program("monitor").to_str().unwrap(), &["doctor", "compose", file.to_str().unwrap()], "");
    let services = services();
    let expected: BTreeSet<&str> = PORTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(services.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    for (name, ports) in PORTS {
        let service = &services[name];
        let image = service["image"].as_str().unwrap();
        let version = image.rsplit_once(':').unwrap().1.trim_start_matches('v');
        let is_exact = version.split('.').count() == 3 && version.split('.').all(|part| part.parse::<u32>().is_ok());
        assert!(is_exact, "{name}: {image} is not one version");
        for key in ["healthcheck", "mem_limit", "logging", "restart"] {
            assert!(!service[key].is_null(), "{name} has no {key}");
        }
        // Without a shell there is no CMD-SHELL, and the last two images have none.
        assert_eq!(service["healthcheck"]["test"][0], "CMD", "{name}");
        assert!(!service["logging"]["options"]["max-size"].is_null(), "{name}: its log grows for ever");
        assert!(service["depends_on"].is_null(), "{name} waits for another");
        assert_eq!(listening(service), ports.to_vec(), "{name}");
        for from in mounts(service).keys() {
            // Docker would make a folder of it, and root's.
            assert!(repository().join(from).exists(), "{name} is shown {from}, which is not there");
        }
    }
}

#[test]
fn prometheus_and_grafana_find_their_files_and_the_secrets_are_made_by_the_suite() {
    let services = services();
    let prometheus = &services["prometheus"];
    let at = mounts(prometheus);
    assert_eq!((&*at["compose/prometheus"], &*at["alerts"]), ("/etc/prometheus", "/alerts"));
    let config = yaml("compose/prometheus/prometheus.yml");
    // Relative to /etc/prometheus, two folders up is the root.
    assert_eq!(texts(&config["rule_files"]), ["../../alerts/rules/*.yml"]);
    let shown: BTreeSet<&str> =
        list(&prometheus["secrets"]).iter().map(|secret| secret["target"].as_str().unwrap()).collect();
    let others = list(&config["scrape_configs"]).iter().chain(list(&config["alerting"]["alertmanagers"]));
    let files = others.filter_map(|other| other["authorization"]["credentials_file"].as_str());
    let wanted: BTreeSet<&str> = files.map(|file| file.strip_prefix("../..").unwrap()).collect();
    assert_eq!(shown, wanted);
    // Whom it scrapes listens on this machine, or is where the suite runs.
    let around: Vec<&str> =
        texts(&prometheus["extra_hosts"]).into_iter().filter_map(|host| host.split(':').next()).collect();
    let telemetry = yaml("compose/prometheus/targets/telemetry.yml");
    let groups = list(&config["scrape_configs"]).iter().flat_map(|job| list(&job["static_configs"]));
    for target in groups.chain(list(&telemetry)).flat_map(|group| texts(&group["targets"])) {
        let (host, port) = target.split_once(':').unwrap();
        assert!(around.contains(&host), "{target} is nowhere");
        let is_there = services.get(host).is_none_or(|service| listening(service).contains(&port.parse().unwrap()));
        assert!(is_there, "{host} does not listen on {port}");
    }
    let grafana = &services["grafana"];
    let at = mounts(grafana);
    assert_eq!(at["compose/grafana/provisioning"], "/etc/grafana/provisioning");
    let provider = &yaml("compose/grafana/provisioning/dashboards/suite.yml")["providers"][0];
    assert_eq!(
        (&provider["options"]["path"], &provider["allowUiUpdates"]),
        (&at["dashboards"].clone().into(), &false.into())
    );
    let settings = &grafana["environment"];
    let home = settings["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().unwrap();
    assert!(repository().join(home.trim_start_matches('/')).exists(), "{home} is not there");
    assert_eq!(settings["GF_SECURITY_ADMIN_PASSWORD__FILE"], "/run/secrets/grafana_admin_password");
    assert_eq!(settings["GF_AUTH_ANONYMOUS_ENABLED"], "false");
}

#[test]
fn grafana_finds_every_store_and_its_way_from_figures_to_traces_to_lines_and_back() {
    let config = yaml("compose/grafana/provisioning/datasources/suite.yml");
    let sources: BTreeMap<&str, &Value> =
        list(&config["datasources"]).iter().map(|source| (source["uid"].as_str().unwrap(), source)).collect();
    assert_eq!(sources.keys().copied().collect::<Vec<_>>(), ["loki", "prometheus", "tempo"]);
    let services = services();
    for (uid, source) in &sources {
        assert_eq!((&source["type"], &source["editable"]), (&(*uid).into(), &false.into()));
        let (host, port) = source["url"].as_str().unwrap().strip_prefix("http://").unwrap().split_once(':').unwrap();
        let ports = listening(&services[host]);
        assert!(ports.contains(&port.parse().unwrap()), "{uid}: {host} does not listen on {port}");
        let hosts = texts(&services["grafana"]["extra_hosts"]);
        assert!(hosts.contains(&&*format!("{host}:127.0.0.1")), "{uid}: Grafana does not find {host}");
        let mut led_to = Vec::new();
        named("datasourceUid", &source["jsonData"], &mut led_to);
        assert!(led_to.iter().all(|other| sources.contains_key(other.as_str())), "{uid} leads to {led_to:?}");
    }
    let settings = |uid: &str| &sources[uid]["jsonData"];
    let exemplar = &settings("prometheus")["exemplarTraceIdDestinations"][0];
    assert_eq!((&exemplar["name"], &exemplar["datasourceUid"]), (&"trace_id".into(), &"tempo".into()));
    let derived = &settings("loki")["derivedFields"][0];
    assert_eq!((&derived["matcherRegex"], &derived["datasourceUid"]), (&"trace_id".into(), &"tempo".into()));
    // As Grafana puts it in, and before that `$$` is `$`.
    let lines = &settings("tempo")["tracesToLogsV2"];
    let query = lines["query"].as_str().unwrap().replace("$${__tags}", "service=\"a\"");
    let query = query.replace("$${__trace.traceId}", "0af7651916cd43dd8448eb211c80319c");
    assert!(!query.contains('$'), "{query}");
    assert_eq!(unparsed(&[("loki", query)]), [Vec::<String>::new()]);
    for (key, label) in [("tracesToLogsV2", "service"), ("tracesToMetrics", "service")] {
        let tag = &settings("tempo")[key]["tags"][0];
        assert_eq!((&tag["key"], &tag["value"]), (&"service.name".into(), &label.into()), "{key}");
    }
}

#[test]
fn alerts_lead_to_the_dashboard_of_traces_and_logs_in_the_grafana_that_is_provided() {
    let links = yaml("compose/local.yml")["links"].clone();
    for (link, wanted) in [("trace", vec!["trace"]), ("logs", vec!["service"])] {
        let address = links[link].as_str().unwrap();
        let rest =
            address.strip_prefix("${GRAFANA_URL:-http://127.0.0.1:3001}/d/").unwrap_or_else(|| panic!("{address}"));
        assert_eq!(listening(&services()["grafana"]), [3001]);
        let (uid, given) = rest.split_once('?').unwrap();
        let target = dashboards().into_iter().find(|dashboard| dashboard.json["uid"] == uid);
        let target = target.unwrap_or_else(|| panic!("{address} leads to no dashboard"));
        let names = given.split('&').filter_map(|pair| pair.strip_prefix("var-")?.split_once('='));
        let names: Vec<&str> = names.map(|(name, _)| name).collect();
        assert_eq!(names, wanted);
        assert!(names.iter().all(|name| target.variables().iter().any(|it| it["name"] == *name)), "{address}");
    }
}

#[test]
fn loki_takes_what_is_pushed_and_both_stores_forget_in_time() {
    let loki = yaml("compose/loki/loki.yml");
    let schema = &loki["schema_config"]["configs"][0];
    assert_eq!((&schema["schema"], &schema["store"]), (&"v13".into(), &"tsdb".into()));
    let limits = &loki["limits_config"];
    assert_eq!(limits["allow_structured_metadata"], true);
    assert_eq!(limits["discover_service_name"], Value::Array(Vec::new()));
    assert_eq!((&limits["retention_period"], &loki["compactor"]["retention_enabled"]), (&"168h".into(), &true.into()));
    let tempo = yaml("compose/tempo/tempo.yml");
    let kept = [
        &tempo["backend_worker"]["compaction"]["block_retention"],
        &tempo["backend_scheduler"]["provider"]["compaction"]["compaction"]["block_retention"],
    ];
    assert_eq!(kept, ["72h", "72h"]);
    for (protocol, port) in [("grpc", 4317), ("http", 4318)] {
        let endpoint = &tempo["distributor"]["receivers"]["otlp"]["protocols"][protocol]["endpoint"];
        assert_eq!(endpoint, &format!("0.0.0.0:{port}"));
    }
}

/// All that stands under a key, however deep.
fn named(key: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key).and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|inner| named(key, inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| named(key, inner, found)),
        _ => {}
    }
}
