//! Translates what an engine lists into what wants to be watched, and where that answers. Pure.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, PortSummary, PortSummaryTypeEnum};

use super::settings::{COMPOSE_NUMBER, COMPOSE_PROJECT, COMPOSE_SERVICE, compose_labels, is_oneoff};
use super::ways::addresses;
use crate::supervise::discovery::{LABEL_PREFIX, Labels, OneOf, Reach, Sighting, service_name};
use crate::supervise::workload::Sought;

/// The label by which a container asks to be watched, or not to be; as Traefik's `traefik.enable`.
const ENABLE: &str = "enable";

/// Which containers are found, and how they are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Those that ask for it by a label.
    pub(super) labels: bool,
    /// Those of this Compose project.
    pub(super) project: Option<String>,
    /// The network whose addresses are asked.
    pub(super) network: Option<String>,
    /// Whether published ports are asked, rather than containers themselves.
    pub(super) published: bool,
    /// Where the engine's host is reached.
    pub(super) host: String,
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.project, self.labels) {
            (None, _) => write!(formatter, "containers with the label {LABEL_PREFIX}{ENABLE}=true"),
            (Some(project), false) => write!(formatter, "services of the Compose project {project}"),
            (Some(project), true) => write!(
                formatter,
                "services of the Compose project {project} and containers with the label {LABEL_PREFIX}{ENABLE}=true"
            ),
        }
    }
}

impl Wanted {
    /// Returns the labels of which the engine is asked for containers; one question each.
    pub(super) fn filters(&self) -> Vec<String> {
        let by_label = self.labels.then(|| format!("{LABEL_PREFIX}{ENABLE}"));
        by_label.into_iter().chain(self.project.iter().map(|project| format!("{COMPOSE_PROJECT}={project}"))).collect()
    }

    /// Reads a container of the engine's list; none if it is not wanted.
    pub(super) fn sighting(&self, summary: ContainerSummary) -> Option<Sighting> {
        let labels = summary.labels.clone().unwrap_or_default();
        if !self.wants(&labels) {
            return None;
        }
        let id = summary.id.clone()?;
        // Names of links have a slash within.
        let names = summary.names.clone().unwrap_or_default();
        let name = names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/'));
        let name = name.unwrap_or(&id).to_owned();
        let label = |key: &str| labels.get(key).filter(|value| !value.is_empty());
        let number = label(COMPOSE_NUMBER).and_then(|number| number.parse().ok());
        let (sought, one_of, known_as) = match (label(COMPOSE_PROJECT), label(COMPOSE_SERVICE)) {
            (Some(project), Some(service)) => {
                let (project, service) = (project.as_str(), service.as_str());
                let all = compose_labels([project, service]);
                let one_of = number.map(|number: u32| OneOf { all: all.clone(), number });
                let sought = number.map(|number| compose_labels([project, service, number.to_string().as_str()]));
                (sought.unwrap_or(all), one_of, service)
            }
            _ => (Sought::Name(name.clone()), None, name.as_str()),
        };
        let running =
            matches!(summary.state, Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED));
        Some(Sighting {
            shown: format!("container {name:?}"),
            called: name.clone(),
            sought,
            one_of,
            name: service_name(known_as),
            labels: Labels::of(labels.iter()),
            reach: self.reach(&summary, running),
            running,
            created_secs: summary.created.unwrap_or(0),
            id,
        })
    }

    fn wants(&self, labels: &HashMap<String, String>) -> bool {
        if is_oneoff(labels) {
            return false;
        }
        let is_of_project = self.project.is_some() && labels.get(COMPOSE_PROJECT) == self.project.as_ref();
        match labels.get(&format!("{LABEL_PREFIX}{ENABLE}")).map(String::as_str) {
            Some("false") => false,
            // What is neither is told as a mistake.
            Some(_) => self.labels || is_of_project,
            None => is_of_project,
        }
    }

    fn reach(&self, summary: &ContainerSummary, running: bool) -> Reach {
        let nowhere = |why: &str| if running { Reach::Nowhere(why.to_owned()) } else { Reach::Pending };
        let mode = summary.host_config.as_ref().and_then(|host| host.network_mode.as_deref()).unwrap_or_default();
        if mode == "host" {
            return Reach::At { host: self.host.clone(), any_port: true, ports: BTreeMap::new() };
        }
        let ports = summary.ports.as_deref().unwrap_or_default();
        if self.published {
            let ports: BTreeMap<u16, String> = ports
                .iter()
                .filter(is_tcp)
                .filter_map(|port| Some((port.private_port, self.published_at(port)?)))
                .collect();
            if ports.is_empty() {
                return nowhere("it publishes no port; publish one, or leave out \"published\" in the discovery");
            }
            return Reach::At { host: self.host.clone(), any_port: false, ports };
        }
        match self.address(summary, mode) {
            Err(why) => nowhere(&why),
            Ok(None) => Reach::Pending,
            Ok(Some(host)) => {
                let ports = ports.iter().filter(is_tcp).map(|port| port.private_port);
                let ports = ports.map(|port| (port, format!("{host}:{port}"))).collect();
                Reach::At { host, any_port: true, ports }
            }
        }
    }

    fn published_at(&self, port: &PortSummary) -> Option<String> {
        let public = port.public_port?;
        let bound = port.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        let host =
            bound.filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).map_or_else(|| self.host.clone(), written);
        Some(format!("{host}:{public}"))
    }

    /// Returns its address in the network that is asked; of several the first by name, so that it stays the same one.
    fn address(&self, summary: &ContainerSummary, mode: &str) -> Result<Option<String>, String> {
        let networks = summary.network_settings.as_ref().and_then(|settings| settings.networks.clone());
        let networks = addresses(networks.unwrap_or_default());
        if let Some(wanted) = &self.network {
            return match networks.get(wanted) {
                Some(address) => Ok(address.map(written)),
                None => {
                    let names: Vec<&str> = networks.keys().map(String::as_str).collect();
                    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                    Err(format!("it is not in the network {wanted:?} that the discovery asks; it is in {names}"))
                }
            };
        }
        match networks.values().flatten().next() {
            Some(address) => Ok(Some(written(*address))),
            None if mode.starts_with("container:") => {
                Err("it has no address: it is in another container's network; write its labels there".to_owned())
            }
            None => Err("it has no address of its own in any network".to_owned()),
        }
    }
}

fn is_tcp(port: &&PortSummary) -> bool {
    matches!(port.typ, None | Some(PortSummaryTypeEnum::TCP | PortSummaryTypeEnum::EMPTY))
}

fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
