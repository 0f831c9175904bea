//! The data sources that Grafana is given by files (grafana.com/docs/grafana/latest/administration/provisioning).

use kit::config::{Node, Place};
use url::Url;

use super::service::{Service, items};

/// Where Grafana looks for them, unless it is told otherwise.
const FOLDER: &str = "/provisioning/datasources";

/// One of them.
#[derive(Debug, Clone)]
pub struct DataSource {
    /// Its name.
    pub name: String,
    /// What it is, such as `prometheus` or `tempo`.
    pub kind: String,
    /// Where it leads; none if that is not written, or comes out of a variable.
    pub url: Option<Url>,
    /// Where that stands, or else the whole entry.
    pub place: Place,
}

impl DataSource {
    /// Reads those that a service mounts; none if it is no Grafana, or is given no file of them.
    pub(super) fn of(service: &Service) -> Vec<Self> {
        let mut found = Vec::new();
        if !service.facts.name.starts_with("grafana") {
            return found;
        }
        for mounted in service.mounted.iter().filter(|mounted| mounted.target.contains(FOLDER)) {
            let Ok(root) = Node::parse(&mounted.file, &mounted.text) else { continue };
            found.extend(items(root.child("datasources")).iter().map(decode));
        }
        found
    }
}

fn decode(node: &Node) -> DataSource {
    let text = |key| node.child(key).and_then(Node::scalar_text).unwrap_or_default();
    // `direct` is asked by the browser, whose localhost is a person's own.
    let url = Some(text("url")).filter(|url| !url.contains('$') && text("access") != "direct");
    DataSource {
        name: text("name"),
        kind: text("type"),
        url: url.and_then(|url| Url::parse(&url).ok()),
        place: node.child("url").map_or(&node.place, |url| &url.place).clone(),
    }
}
