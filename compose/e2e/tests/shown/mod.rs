//! The dashboards as Grafana is given them, and what they ask.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::given::repository;

/// A dashboard.
pub(crate) struct Shown {
    /// Its file's name, without the ending.
    pub name: String,
    pub json: Value,
}

/// A question of a dashboard, and where it stands.
#[derive(Debug)]
pub(crate) struct Asked {
    pub place: String,
    /// Whom: `prometheus`, `loki` or `tempo`.
    pub kind: String,
    /// Its data source.
    pub source: String,
    pub text: String,
    /// What its series are called.
    pub legend: String,
    /// Of Prometheus and Loki: for the newest answer, rather than for those over a time.
    pub for_now: bool,
    /// The kind of its panel, if it is one's.
    pub panel: String,
}

/// Every dashboard, by name.
pub(crate) fn dashboards() -> Vec<Shown> {
    let files = std::fs::read_dir(repository().join("dashboards")).unwrap();
    let mut found = BTreeMap::new();
    for path in files.map(|file| file.unwrap().path()) {
        if path.extension().is_some_and(|ending| ending == "json") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            found.insert(name, serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap());
        }
    }
    found.into_iter().map(|(name, json)| Shown { name, json }).collect()
}

/// The items of a list; none where there is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Shown {
    pub(crate) fn panels(&self) -> &[Value] {
        list(&self.json["panels"])
    }

    pub(crate) fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    /// Where a panel stands, for people.
    pub(crate) fn place(&self, panel: &Value) -> String {
        format!("{}, {:?}", self.name, panel["title"].as_str().unwrap_or_default())
    }

    /// What its panels and annotations ask, and what its links lead to.
    pub(crate) fn asks(&self) -> Vec<Asked> {
        let mut found = Vec::new();
        for panel in self.panels() {
            let place = self.place(panel);
            let kind = panel["type"].as_str().unwrap_or_default().to_owned();
            let own = list(&panel["targets"]).iter().map(|target| Asked::of(place.clone(), target));
            found.extend(own.map(|asked| Asked { panel: kind.clone(), ..asked }));
            for url in links(panel) {
                let asked = explored(&url);
                found.extend(asked.iter().map(|query| Asked::of(format!("{place}, a link"), query)));
            }
        }
        let marks = list(&self.json["annotations"]["list"]).iter();
        let place = |mark: &Value| format!("{}, marks {}", self.name, mark["name"]);
        found.extend(marks.map(|mark| Asked::of(place(mark), mark)));
        found
    }
}

impl Asked {
    fn of(place: String, query: &Value) -> Self {
        let text = query["expr"].as_str().or_else(|| query["query"].as_str());
        let text = text.unwrap_or_else(|| panic!("{place} asks nothing: {query}")).to_owned();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, source) = (word(&query["datasource"]["type"]), word(&query["datasource"]["uid"]));
        let for_now = query["instant"] == true && query["range"] == false || query["queryType"] == "instant";
        Self { place, kind, source, text, legend: word(&query["legendFormat"]), for_now, panel: String::new() }
    }

    /// A question to Prometheus that stands elsewhere.
    pub(crate) fn elsewhere(place: String, text: String) -> Self {
        let (source, legend, panel) = Default::default();
        Self { place, kind: "prometheus".to_owned(), source, text, legend, for_now: true, panel }
    }

    /// The labels that its legend shows.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        self.legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next())
    }
}

/// Where a panel's links lead: its own, those of its values and those of its columns.
pub(crate) fn links(panel: &Value) -> Vec<String> {
    let mut found: Vec<&Value> = list(&panel["links"]).iter().collect();
    found.extend(list(&panel["fieldConfig"]["defaults"]["links"]));
    for column in list(&panel["fieldConfig"]["overrides"]) {
        let properties = list(&column["properties"]).iter().filter(|property| property["id"] == "links");
        found.extend(properties.flat_map(|property| list(&property["value"])));
    }
    found.iter().map(|link| link["url"].as_str().unwrap().to_owned()).collect()
}

/// What a link to Grafana's Explore asks there.
fn explored(url: &str) -> Vec<Value> {
    let Some((_, panes)) = url.strip_prefix("/explore?").and_then(|rest| rest.split_once("panes=")) else {
        return Vec::new();
    };
    let panes: Value = serde_json::from_str(&decoded(panes)).unwrap_or_else(|error| panic!("{url}: {error}"));
    panes.as_object().unwrap().values().flat_map(|pane| list(&pane["queries"]).to_vec()).collect()
}

/// Text of a URL without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap());
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).unwrap()
}

/// A text of a dashboard with values for its variables, as Grafana puts them in.
pub(crate) fn with(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    let own = [("__rate_interval", "1m"), ("__range", "5m"), ("__auto", "1m"), ("__from", "0"), ("__to", "1")];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in own.chain(values.clone()) {
        text = text.replace(&format!("${{{name}}}"), &value).replace(&format!("${name}"), &value);
    }
    text
}
