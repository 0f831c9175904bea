//! Recall: into every clean project where it fits, each mistake is put once; it must be found at its line, and only
//! there. The project without it is the mended one, of which `clean` says that nothing is found.

use std::collections::BTreeMap;
use std::path::Path;

use monitor::doctor::compose::{Project, Service};

use super::{clean_folders, findings, read};

/// Marks the line where the finding is expected.
const HERE: &str = "# HERE";

/// Sections that some mistakes need beside their own, and which then replace what is there.
const BESIDE: [&str; 3] = ["healthcheck:", "environment:", "restart:"];

/// Puts a mistake into one service: the section to replace, with its new lines, the wrong one marked. None where it does
/// not fit.
type Mistake = fn(&Project, &Service) -> Option<(&'static str, String)>;

fn in_service(rule: &str) -> Option<Mistake> {
    Some(match rule {
        "health-program-missing" => |_, service| {
            (service.facts.has("curl") == Some(false))
                .then(|| test("[\"CMD\", \"curl\", \"-f\", \"http://x/\"]", "10s"))
        },
        "health-matches-itself" => |_, _| Some(test("[\"CMD-SHELL\", \"ps aux | grep server || exit 1\"]", "10s")),
        "health-never-fails" => |_, _| Some(test("[\"CMD-SHELL\", \"check-it || true\"]", "10s")),
        "health-wrong-port" => |_, service| {
            let is_known =
                service.told_port_at().is_some() || !service.facts.ports.is_empty() || !service.ports.is_empty();
            (is_known && !service.shares_network())
                .then(|| test("[\"CMD\", \"ask\", \"http://localhost:59999/\"]", "10s"))
        },
        "health-wrong-path" => |_, service| {
            let (wrong, _) = service.facts.wrong_path?;
            let port = service.facts.ports.first()?;
            Some(test(&format!("[\"CMD\", \"ask\", \"http://localhost:{port}{wrong}\"]"), "10s"))
        },
        "health-curl-without-fail" => |_, _| Some(test("curl -s -o /dev/null http://x/ || exit 1", "10s")),
        "health-no-start-period" => |_, service| {
            let is_ours = service.is_built || service.facts.kind.is_none() || service.facts.starts_in_secs > 0;
            let block = format!(
                "    healthcheck: {HERE}\n      test: [\"CMD\", \"ask\"]\n      interval: 5s\n      retries: 2\n"
            );
            let is_whole = service.node.child("extends").is_none();
            (is_ours && is_whole).then_some(("healthcheck", block))
        },
        "health-timeout-too-long" => |_, _| {
            let lines = format!(
                "test: [\"CMD\", \"ask\"]\n      interval: 10s\n      start_period: 2m\n      timeout: 11s {HERE}\n"
            );
            Some(("healthcheck", format!("    healthcheck:\n      {lines}")))
        },
        "gate-without-health" => |project, service| {
            let other =
                other(project, service, |other| other.health.is_none() && other.facts.has_health == Some(false))?;
            Some(gate(&other.name))
        },
        "gate-on-observability" => |project, service| {
            let other = other(project, service, Service::is_observability)?;
            (!service.is_observability()).then(|| gate(&other.name))
        },
        "gate-before-monitor" => |project, service| {
            let users = project.services.iter().filter(|user| user.name != service.name);
            let used: Vec<&str> = users.flat_map(|user| &user.depends_on).map(|one| one.service.as_str()).collect();
            let other =
                other(project, service, |other| !other.is_observability() && used.contains(&other.name.as_str()))?;
            service.is_monitor().then(|| gate(&other.name))
        },
        "gate-cycle" => |project, service| {
            let other =
                other(project, service, |other| other.depends_on.iter().any(|one| one.service == service.name))?;
            // Told where the circle is closed first in the file.
            let is_first = project.services.iter().position(|one| one.name == service.name)
                < project.services.iter().position(|one| one.name == other.name);
            is_first.then(|| ("depends_on", format!("    depends_on:\n      - {} {HERE}\n", other.name)))
        },
        "gate-unknown-service" => |_, _| Some(("depends_on", format!("    depends_on:\n      - databse {HERE}\n"))),
        "localhost-target" => |project, service| {
            let other = other(project, service, |other| !other.listens_on().is_empty())?;
            let port = *other.listens_on().iter().find(|port| !service.listens_on().contains(port))?;
            (!service.shares_network()).then(|| environment("UPSTREAM_URL", &format!("http://localhost:{port}/api")))
        },
        "wrong-target-port" => |project, service| {
            let other = other(project, service, |other| !other.facts.ports.is_empty())?;
            (!service.shares_network()).then(|| environment("UPSTREAM_URL", &format!("http://{}:59999/", other.name)))
        },
        "container-name-target" => |project, service| {
            let other = other(project, service, |_| true)?;
            (!service.shares_network())
                .then(|| environment("UPSTREAM_URL", &format!("http://shop-{}-1:80/", other.name)))
        },
        "published-port-not-listened" => |_, service| {
            let (told, _) = service.told_port_at()?;
            (service.facts.kind.is_none() || service.is_built)
                .then(|| ("ports", format!("    ports:\n      - \"7000:{}\" {HERE}\n", told + 1)))
        },
        "published-port-conflict" => |project, service| {
            let index = project.services.iter().position(|one| one.name == service.name)?;
            let taken =
                project.services.iter().take(index).flat_map(|one| &one.ports).find_map(|port| port.outside.clone())?;
            Some(("ports", format!("    ports:\n      - \"{}:1\" {HERE}\n", taken.start())))
        },
        "replicas-fixed-name" => {
            |_, _| Some(("deploy", format!("    container_name: only-one {HERE}\n    deploy:\n      replicas: 2\n")))
        }
        "image-not-pinned" => {
            |_, service| (!service.is_built).then(|| ("image", format!("    image: shop/app {HERE}\n")))
        }
        "installs-at-start" => |_, _| Some(command("npm install && node server.js")),
        "installs-latest" => |_, _| Some(command("npx serve@latest /site")),
        "restart-unchecked" => |_, service| {
            let is_plain =
                service.health.is_none() && service.facts.has_health == Some(false) && !service.facts.is_empty;
            (is_plain && !matches!(service.name.as_str(), "init" | "migrate"))
                .then(|| ("restart", format!("    restart: always {HERE}\n")))
        },
        "restart-without-limit" => |_, service| {
            let is_ours = service.is_built || service.facts.kind.is_none();
            let block = format!(
                "    restart: always {HERE}\n    healthcheck:\n      test: [\"CMD\", \"ask\"]\n      start_period: 2m\n    \
                 environment:\n      CACHE_TTL: 5m\n"
            );
            (is_ours && !matches!(service.name.as_str(), "init" | "migrate")).then_some(("restart", block))
        },
        "restart-behind-reloader" => |_, _| {
            Some(("command", format!("    command: uvicorn app:app --reload {HERE}\n    restart: on-failure:5\n")))
        },
        "restart-one-shot" => |_, service| {
            matches!(service.name.as_str(), "migrate" | "init")
                .then(|| ("restart", format!("    restart: always {HERE}\n")))
        },
        "setting-not-a-number" => |_, _| Some(environment("METRICS_PORT", "eight")),
        "remote-write-refused" => |project, service| {
            let is_written = project.services.iter().any(|other| other.name == "collector");
            let line = format!("    command: {HERE}\n      - --config.file=/etc/prometheus/prometheus.yml\n");
            (service.facts.name == "prometheus" && is_written).then_some(("command", line))
        },
        "traces-not-sent" => |project, service| {
            let has_collector = project.services.iter().any(|other| other.listens_on().contains(&4317));
            let is_ours = service.facts.kind.is_none() || service.is_built;
            (has_collector && is_ours).then(|| environment("OTEL_SERVICE_NAME", "shop"))
        },
        "target-unknown-service" => {
            |_, service| (!service.shares_network()).then(|| environment("UPSTREAM_URL", "http://nobody-at-all:8080/"))
        }
        "setting-not-a-list" => |_, service| {
            let is_ours = service.is_built || service.facts.kind.is_none();
            is_ours.then(|| environment("ALLOWED_HOSTS", "\"['a.example.com', 'b.example.com']\""))
        },
        "variable-unset" => |_, _| Some(environment("REGION", "${NOBODY_SETS_THIS}")),
        "env-file-missing" => |_, _| Some(("env_file", format!("    env_file:\n      - ./not-there.env {HERE}\n"))),
        "secret-in-file" => |_, _| Some(environment("PAYMENT_API_KEY", "abc123")),
        "docker-socket" => |_, service| {
            let is = |name: &str| service.image.as_ref().is_some_and(|image| image.text.contains(name));
            let mount = format!("    volumes:\n      - /var/run/docker.sock:/var/run/docker.sock {HERE}\n");
            // These two are there to hold it.
            (!is("gitlab-runner") && !is("docker-socket-proxy")).then_some(("volumes", mount))
        },
        _ => return None,
    })
}

fn other<'a>(project: &'a Project, service: &Service, fits: impl Fn(&Service) -> bool) -> Option<&'a Service> {
    project.services.iter().find(|other| other.name != service.name && !other.shares_network() && fits(other))
}

fn test(test: &str, interval: &str) -> (&'static str, String) {
    let block =
        format!("    healthcheck:\n      test: {test} {HERE}\n      interval: {interval}\n      start_period: 2m\n");
    ("healthcheck", block)
}

fn gate(name: &str) -> (&'static str, String) {
    ("depends_on", format!("    depends_on:\n      {name}: {HERE}\n        condition: service_healthy\n"))
}

fn environment(name: &str, value: &str) -> (&'static str, String) {
    ("environment", format!("    environment:\n      {name}: {value} {HERE}\n"))
}

fn command(line: &str) -> (&'static str, String) {
    ("command", format!("    command: sh -c \"{line}\" {HERE}\n"))
}

/// Replaces a section of a service, or adds it right below the service's name.
fn replaced(text: &str, service: &Service, key: &str, block: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let at = usize::try_from(service.place.line).unwrap();
    let head = lines.get(at - 1)?;
    // One-line services and those of another file are left alone.
    if !head.trim_end().ends_with(':') && !head.contains(": &") {
        return None;
    }
    let mut out: Vec<String> = lines.iter().take(at).map(|line| (*line).to_owned()).collect();
    out.extend(block.lines().map(str::to_owned));
    let (mut is_inside, mut is_skipped) = (true, false);
    for line in lines.iter().skip(at) {
        let indent = line.len() - line.trim_start().len();
        if !line.trim().is_empty() && indent <= 2 {
            is_inside = false;
        }
        if is_inside && indent == 4 {
            is_skipped = line.trim_start().starts_with(&format!("{key}:"))
                || (key == "deploy" && line.contains("container_name:"))
                || BESIDE
                    .iter()
                    .any(|beside| block.contains(&format!("    {beside}")) && line.trim_start().starts_with(beside));
        }
        // Others use what stands here.
        if is_inside && is_skipped && line.contains(": &") {
            return None;
        }
        if !(is_inside && is_skipped) {
            out.push((*line).to_owned());
        }
    }
    Some(out.join("\n"))
}

/// Copies a project with another compose file.
fn copied(from: &Path, text: &str) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target)
            } else {
                std::fs::copy(entry.path(), target).map(|_bytes| ()).unwrap()
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy(from, folder.path());
    std::fs::write(folder.path().join("compose.yml"), text).unwrap();
    folder
}

#[test]
fn each_mistake_is_found_wherever_it_is_put() {
    let mut put: BTreeMap<&str, usize> = BTreeMap::new();
    let mut missed = Vec::new();
    for folder in clean_folders() {
        let (file, project) = (folder.join("compose.yml"), read(&folder).unwrap());
        let text = std::fs::read_to_string(&file).unwrap();
        for rule in monitor::doctor::compose_rules() {
            let Some(mistake) = in_service(rule.text.id) else { continue };
            for service in &project.services {
                // What other places say of it must be in this file, without anchors of its own.
                let is_here = *service.place.file == *file.to_string_lossy();
                let Some((key, block)) = mistake(&project, service).filter(|_| is_here) else { continue };
                let Some(text) = replaced(&text, service, key, &block) else { continue };
                let line = 1 + text.lines().position(|line| line.contains(HERE)).unwrap();
                let changed = copied(&folder, &text);
                *put.entry(rule.text.id).or_default() += 1;
                let what = format!("{} in {} of {}, line {line}", rule.text.id, service.name, folder.display());
                match read(changed.path()) {
                    Err(message) => missed.push(format!("{what}: {message}")),
                    Ok(project) => {
                        let found = findings(&project);
                        let is_found = |found: &monitor::doctor::Finding| {
                            found.rule == rule.text.id && found.line == u64::try_from(line).unwrap()
                        };
                        if !found.iter().any(is_found) {
                            missed.push(format!("{what}:\n{text}"));
                        }
                    }
                }
            }
        }
    }
    println!("mistakes put in, by rule: {put:#?}");
    let total: usize = put.values().sum();
    assert!(missed.is_empty(), "{} of {total} missed:\n{}", missed.len(), missed.join("\n"));
    for rule in monitor::doctor::compose_rules().iter().filter(|rule| in_service(rule.text.id).is_some()) {
        assert!(put.contains_key(rule.text.id), "{} fits into no clean project", rule.text.id);
    }
}

/// In files that services mount, with the line where it must be found.
const MOUNTED: [(&str, &str, &str, &str, u64); 12] = [
    (
        "datasource-wrong-target",
        "tracing/grafana/datasources/all.yml",
        "http://prometheus:9090",
        "http://localhost:9090",
        5,
    ),
    ("datasource-wrong-target", "tracing/grafana/datasources/all.yml", "http://loki:3100", "http://loki:9999", 8),
    ("datasource-wrong-target", "tracing/grafana/datasources/all.yml", "http://tempo:3200", "http://temp:3200", 11),
    (
        "datasource-missing",
        "tracing/grafana/datasources/all.yml",
        "type: tempo\n    url: http://tempo:3200",
        "type: jaeger\n    url: http://t.example.com",
        18,
    ),
    (
        "datasource-missing",
        "tracing/grafana/datasources/all.yml",
        "type: loki\n    url: http://loki:3100",
        "type: jaeger\n    url: http://t.example.com",
        18,
    ),
    (
        "init-script-missing-include",
        "django/database/init/01-roles.sql",
        "\\i /parts/tables.sql",
        "\\i /parts/gone.sql",
        5,
    ),
    (
        "init-script-missing-include",
        "django/database/init/01-roles.sql",
        "\\i /parts/tables.sql",
        "\\i /elsewhere/tables.sql",
        5,
    ),
    ("init-script-missing-include", "django/database/init/01-roles.sql", "\\ir 02-views.sql", "\\ir views/02.sql", 6),
    ("init-script-unknown-role", "django/database/init/01-roles.sql", "OWNER shop", "OWNER postgres", 4),
    ("init-script-unknown-role", "django/database/init/01-roles.sql", "TO reader", "TO postgres", 3),
    ("alerts-go-nowhere", "prometheus/prometheus.yml", "\"alertmanager:9093\"", "\"alertmanger:9093\"", 8),
    ("scrape-unknown-target", "prometheus/prometheus.yml", "node-exporter:9100", "node-exporter:9101", 15),
];

#[test]
fn each_mistake_in_a_mounted_file_is_found_at_its_line() {
    for (rule, file, from, to, line) in MOUNTED {
        let (project, inside) = file.split_once('/').unwrap();
        let folder = super::fixtures("clean").join(project);
        let changed = copied(&folder, &std::fs::read_to_string(folder.join("compose.yml")).unwrap());
        let path = changed.path().join(inside);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} in {file}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let found = findings(&read(changed.path()).unwrap());
        let is_it = |one: &monitor::doctor::Finding| {
            one.rule == rule && one.line == line && one.file.ends_with(inside) && !one.fix.is_empty()
        };
        assert!(found.iter().any(is_it) && found.len() == 1, "{rule} in {file}, line {line}: {found:#?}");
    }
}
