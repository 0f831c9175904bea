//! Whatever the dashboards and rules ask, a real Prometheus beside what `make up` starts has an answer, also while something
//! is down, loops and cannot be told.

use std::collections::{BTreeMap, BTreeSet};

use e2e::ask;
use http::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testkit::eventually;

use crate::around::{Around, ask_in_vain, let_jobs_die, sign_in_in_vain, work_in_vain};
use crate::arrived;
use crate::given::{repository, rules};
use crate::shown::{Asked, Shown, dashboards, links, list, with};
use crate::stack::{LIMIT, Up};
use crate::watched::Watched;

/// Between two scrapes: more than one takes while the machine has much else to do.
const EVERY_SECS: u64 = 3;

/// A question, and what its variables can be.
struct Question {
    asked: Asked,
    choices: Vec<BTreeMap<String, String>>,
}

/// What one text of PromQL is answered now.
async fn series(watched: &Watched, asked: &Asked, text: &str) -> Vec<Value> {
    answered(watched, asked, text, "/api/v1/query?").await
}

/// What one text of PromQL is answered as its panel asks: now, or over the last minutes. What is no number is none.
async fn shown(watched: &Watched, asked: &Asked, text: &str) -> Vec<Value> {
    let mut found = if asked.for_now {
        series(watched, asked, text).await
    } else {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        answered(watched, asked, text, &format!("/api/v1/query_range?start={}&end={now}&step={EVERY_SECS}&", now - 300))
            .await
    };
    found.retain(|one| {
        let values = list(&one["values"]).iter().chain([&one["value"]]);
        values.filter_map(|value| value[1].as_str()).any(|number| number != "NaN")
    });
    found
}

async fn answered(watched: &Watched, asked: &Asked, text: &str, path: &str) -> Vec<Value> {
    let [prometheus, _] = watched.addresses();
    let path = format!("{path}query={}", encoded(text));
    let answer = watched.json(&prometheus, &path).await.unwrap_or_else(|| panic!("no answer to {text}"));
    assert_eq!(answer["status"], "success", "{}: {text}: {answer}", asked.place);
    answer["data"]["result"].as_array().unwrap().clone()
}

pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

impl Question {
    /// Whether there is an answer, for some choice at least.
    async fn is_answered(&self, watched: &Watched) -> bool {
        for values in &self.choices {
            let found = shown(watched, &self.asked, &with(&self.asked.text, values)).await;
            if let Some(first) = found.first() {
                let lacks = self.asked.labels().find(|label| !first["metric"][label].is_string());
                assert!(lacks.is_none(), "{:?}: no label {lacks:?} in {first}", self.asked);
                return true;
            }
        }
        false
    }
}

/// All that the variables of a dashboard can be; what is chosen at first is among it.
async fn choices(watched: &Watched, dashboard: &Shown) -> Vec<BTreeMap<String, String>> {
    let mut found = vec![BTreeMap::new()];
    for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
        let (name, first) = (variable["name"].as_str().unwrap(), variable["current"]["value"].as_str().unwrap());
        let query = variable["query"]["query"].as_str().unwrap();
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (selector, label) = inner.rsplit_once(", ").unwrap();
        let mut next: Vec<BTreeMap<String, String>> = Vec::new();
        for values in found {
            let text = format!("group by ({label}) ({})", with(selector, &values));
            let place = format!("{}, variable {name}", dashboard.name);
            let asked = Asked::elsewhere(place, text);
            for one in series(watched, &asked, &asked.text).await {
                let value = one["metric"][label].as_str().unwrap().to_owned();
                next.push(values.clone().into_iter().chain([(name.to_owned(), value)]).collect());
            }
        }
        next.sort_by_key(|values| values[name] != first);
        assert!(next.first().is_some_and(|values| values[name] == first), "{}: no {name} {first}", dashboard.name);
        found = next;
    }
    found
}

/// What all dashboards ask, and what is recorded by rules.
async fn questions(watched: &Watched) -> Vec<Question> {
    let mut found = Vec::new();
    for dashboard in dashboards() {
        let all = choices(watched, &dashboard).await;
        for asked in dashboard.asks().into_iter().filter(|asked| asked.kind == "prometheus") {
            let choices = if asked.text.contains('$') { all.clone() } else { vec![BTreeMap::new()] };
            found.push(Question { asked, choices });
        }
    }
    for (file, rule) in rules().into_iter().filter(|(_, rule)| rule["record"].is_string()) {
        let (place, text) = (format!("{file}, {}", rule["record"]), rule["expr"].as_str().unwrap().to_owned());
        let asked = Asked::elsewhere(place, text);
        found.push(Question { asked, choices: vec![BTreeMap::new()] });
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_has_an_answer_to_each_question_while_things_are_broken() {
    kit::tls::install();
    let around = Around::start().await;
    let (traces, logs, compose) = (around.collector.http(), around.loki.url(), around.compose());
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", traces.as_str()),
        ("LOKI_URL", &logs),
        ("COMPOSE_DIR", compose.to_str().unwrap()),
    ];
    let up = Up::start(&around.config(), &variables);
    up.until_up().await;
    let watched = Watched::start(up, &around.outside, EVERY_SECS).await;
    watched.until_scraped().await;
    sign_in_in_vain(&watched.up).await;
    around.put_jobs_in();
    let_jobs_die(&watched.up).await;
    around.break_something(&watched.up).await;
    let is_down = async || {
        let status = watched.up.status().await?;
        let shop = status["services"].as_array()?.iter().find(|service| service["name"] == "shop")?;
        (shop["verdict"] == "down").then_some(())
    };
    eventually("the shop to be down", LIMIT, is_down).await;

    let wanted = questions(&watched).await;
    until_answered(&watched, &wanted).await;
    for (file, rule) in rules().into_iter().filter(|(_, rule)| rule["alert"].is_string()) {
        let (place, text) = (format!("{file}, {}", rule["alert"]), rule["expr"].as_str().unwrap().to_owned());
        let asked = Asked::elsewhere(place, text);
        series(&watched, &asked, &asked.text).await;
    }
    arrived::of_each_part(&around, &watched).await;
    arrived::traces_of_examples(&around, &watched).await;
    check_table(&watched).await;
    check_pages(&watched).await;
    until_the_overview_says_what_the_monitor_says(&watched).await;
    until_scraped_for_a_minute(&watched).await;
    until_no_state_is_shown_of_what_has_ended(&watched, &wanted).await;
}

/// What a panel of the overview asks.
fn of_overview(title: &str) -> Vec<Asked> {
    let overview = dashboards().into_iter().find(|dashboard| dashboard.name == "overview").unwrap();
    let place = format!("overview, {title:?}");
    overview.asks().into_iter().filter(|asked| asked.place == place).collect()
}

/// Waits until verdicts and open incidents are what the monitor's own API has.
async fn until_the_overview_says_what_the_monitor_says(watched: &Watched) {
    let number = |one: &Value| one["value"][1].as_str().unwrap().to_owned();
    // As VERDICTS of shapes.py numbers them.
    let numbers =
        BTreeMap::from([("up", "1"), ("degraded", "8"), ("down", "9"), ("crash_looping", "10"), ("gave_up", "11")]);
    let verdicts = &of_overview("Services")[0];
    let are_equal = async || {
        let status = watched.up.status().await?;
        let mut same = 0;
        let shown = series(watched, verdicts, &verdicts.text).await;
        for service in status["services"].as_array()? {
            let Some(wanted) = numbers.get(service["verdict"].as_str()?) else { continue };
            let one = shown.iter().find(|one| one["metric"]["service"] == service["name"])?;
            same += usize::from(number(one) == *wanted);
        }
        // The stack's own, and the shop.
        (same > 4 && shown.len() == status["services"].as_array()?.len()).then_some(())
    };
    eventually("the verdicts of the overview to be those of the monitor", LIMIT, are_equal).await;
    let are_as_many = async || {
        let incidents = watched.json(&watched.up.address("monitor"), "/api/v1/incidents?open=true").await?;
        let mut shown = 0;
        for asked in of_overview("Open incidents") {
            shown += number(series(watched, &asked, &asked.text).await.first()?).parse::<usize>().ok()?;
        }
        let open = incidents.as_array()?.len();
        (open > 0 && shown == open).then_some(())
    };
    eventually("as many open incidents on the overview as the monitor has", LIMIT, are_as_many).await;
}

/// Ends everything that `make up` started, and waits until nothing is shown as if it still were so.
async fn until_no_state_is_shown_of_what_has_ended(watched: &Watched, wanted: &[Question]) {
    kill(Pid::from_raw(i32::try_from(watched.up.child.id()).unwrap()), Signal::SIGINT).unwrap();
    // What is counted over a time says that of the time, and `up` says that something is gone.
    let is_state = |asked: &Asked| {
        let is_shown = ["stat", "bargauge"].contains(&&*asked.panel) && asked.for_now;
        is_shown && !asked.text.contains(['[', ':']) && !asked.text.contains("(up{")
    };
    let states: Vec<&Question> = wanted.iter().filter(|question| is_state(&question.asked)).collect();
    assert!(states.len() > 20, "{} states", states.len());
    for question in states {
        let is_gone = async || (!question.is_answered(watched).await).then_some(());
        eventually(&format!("no state of {:?}", question.asked.place), LIMIT, is_gone).await;
    }
}

/// Waits until there is an answer to each, and says to which there is none.
async fn until_answered(watched: &Watched, wanted: &[Question]) {
    let mut left: Vec<&Question> = wanted.iter().collect();
    let all = async {
        while !left.is_empty() {
            // Rates are of what goes on.
            ask_in_vain(&watched.up).await;
            work_in_vain(&watched.up).await;
            let mut still = Vec::new();
            for question in &left {
                if !question.is_answered(watched).await {
                    still.push(*question);
                }
            }
            left = still;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    let in_time = tokio::time::timeout(LIMIT, all).await;
    let left: Vec<&Asked> = left.iter().map(|question| &question.asked).collect();
    assert!(in_time.is_ok() && !wanted.is_empty(), "no answer to {left:#?}");
}

/// The table in README.md has each panel, with each metric that it shows.
async fn check_table(watched: &Watched) {
    let [prometheus, _] = watched.addresses();
    let names = watched.json(&prometheus, "/api/v1/label/__name__/values").await.unwrap();
    let names: BTreeSet<&str> = names["data"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let readme = std::fs::read_to_string(repository().join("dashboards/README.md")).unwrap();
    for dashboard in dashboards() {
        let heading = format!("### {}\n", dashboard.json["title"].as_str().unwrap());
        let section = readme.split(&heading).nth(1).unwrap_or_else(|| panic!("README.md has no {heading}"));
        let section = section.split("\n### ").next().unwrap();
        for panel in dashboard.panels() {
            let asks = panel["description"].as_str().unwrap().split("\n\n").next().unwrap();
            let start = format!("| {asks} | {} | ", panel["title"].as_str().unwrap());
            let row = section.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("README.md has no row {start:?}"));
            for target in list(&panel["targets"]) {
                let text = target["expr"].as_str().unwrap_or_default();
                // What stands in quotes is no name.
                let bare: String = text.split('"').step_by(2).collect::<Vec<_>>().join(" ");
                let words = bare.split(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter));
                for name in words.filter(|word| names.contains(word)) {
                    assert!(row.contains(&format!("`{name}`")), "README.md: {name} is not in {row:?}");
                }
            }
        }
    }
}

/// The monitor and dlq-processor have each page that a link leads to.
async fn check_pages(watched: &Watched) {
    let values = [("service", "api-gateway"), ("__field.labels.queue", "reports")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let hosts = [("monitor", "http://127.0.0.1:8888"), ("dlq-processor", "http://127.0.0.1:8091")];
    let mut pages = BTreeSet::new();
    for dashboard in dashboards() {
        let own = list(&dashboard.json["links"]).iter().map(|link| link["url"].as_str().unwrap().to_owned());
        for url in dashboard.panels().iter().flat_map(links).chain(own) {
            let on = |(part, host): (_, &str)| Some((part, with(url.strip_prefix(host)?, &values)));
            pages.extend(hosts.into_iter().find_map(on));
        }
    }
    let parts: BTreeSet<&str> = pages.iter().map(|(part, _)| *part).collect();
    assert!(pages.len() > 5 && parts.len() == hosts.len(), "{pages:?}");
    for (part, page) in pages {
        let url = format!("http://{}{page}", watched.up.address(part));
        let (status, _) = ask(Request::get(&url), &Value::Null).await.unwrap();
        assert_eq!(status, 200, "{page}");
    }
}

/// Waits until each has been scraped for a minute; no scrape was in vain.
async fn until_scraped_for_a_minute(watched: &Watched) {
    let place = || "scrapes".to_owned();
    let short = Asked::elsewhere(place(), format!("count_over_time(up[10m]) < {}", 60 / EVERY_SECS));
    let enough = async || series(watched, &short, &short.text).await.is_empty().then_some(());
    eventually("a minute of scrapes", LIMIT, enough).await;
    let failed = Asked::elsewhere(place(), "count_over_time(up[10m]) - sum_over_time(up[10m]) > 0".to_owned());
    let failed = series(watched, &failed, &failed.text).await;
    let slow = Asked::elsewhere(place(), "max_over_time(scrape_duration_seconds[10m])".to_owned());
    let slow = series(watched, &slow, &slow.text).await;
    assert!(failed.is_empty(), "failed scrapes: {failed:#?}, of which the slowest took {slow:#?}");
}
