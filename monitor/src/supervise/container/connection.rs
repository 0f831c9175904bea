//! Asks one engine over its socket. It only reads, except for what is ordered; every question has a deadline.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerSummary, EventMessage};
use bollard::query_parameters::{
    EventsOptions, EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, LogsOptionsBuilder,
};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use http::StatusCode;
use jiff::Timestamp;

use super::address::Address;
use super::facts::{Facts, Happening, What};
use super::log_slice::LogSlice;
use super::settings::is_oneoff;
use super::survey::Wanted;
use super::ways::{addresses_of_host, at_each_address};
use crate::supervise::discovery::Sighting;
use crate::supervise::last_lines::LastLines;
use crate::supervise::message::Command;
use crate::supervise::workload::Sought;

/// What the engine answers within milliseconds, on a busy host too.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Bollard's own limit: a little more, so that ours is the one that counts.
const BOLLARD_PATIENCE: Duration = Duration::from_secs(10);
/// How long a stop or restart may take: the container's own time to end comes on top of the engine's.
const ACT_PATIENCE: Duration = Duration::from_secs(150);
/// Missed events that are taken at once.
const MAX_MISSED: usize = 10_000;
/// Lines read to find those of one run; the next run may have written since.
const LINES_READ: &str = "200";

/// Why an engine could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the container engine at {address} cannot be asked: {why}")]
pub(super) struct Blind {
    address: String,
    why: String,
}

/// Why an engine did not do what was ordered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// We may only read.
    #[error("the container engine at {address} lets us only read: {why}; to heal we need write access")]
    ReadOnly { address: String, why: String },
    /// Something else.
    #[error("the container engine at {address} did not {verb} it: {why}")]
    Failed { address: String, verb: &'static str, why: String },
}

/// A connection to an engine.
pub(super) struct Connection {
    address: String,
    /// Whether the engine is on this host.
    is_here: bool,
    docker: Docker,
}

impl Connection {
    /// Connects, which only reads files: the first question finds out whether anybody answers.
    pub(super) fn open(address: &Address) -> Result<Self, Blind> {
        let (shown, is_here) = (address.shown.clone(), address.is_here());
        match address.connect(BOLLARD_PATIENCE) {
            Ok(docker) => Ok(Self { address: shown, is_here, docker }),
            Err(error) => Err(blind(&shown, error)),
        }
    }

    /// Finds out whether it answers everything that watching asks: a proxy in front of it may let some through.
    pub(super) async fn reach(&self) -> Result<(), Blind> {
        self.ping().await?;
        self.list_by(Vec::new()).await?;
        self.missed(Timestamp::now()).await.map(drop)
    }

    /// Finds out whether it answers.
    pub(super) async fn ping(&self) -> Result<(), Blind> {
        self.within(self.docker.ping()).await?.map(drop).map_err(|error| self.blind(error))
    }

    /// Looks at a container, by its id or name; none if there is no such.
    pub(super) async fn inspect(&self, container: &str) -> Result<Option<Facts>, Blind> {
        let call = self.docker.inspect_container(container, None::<InspectContainerOptions>);
        match self.within(call).await? {
            Ok(answer) => Ok(Facts::of(answer).map(|facts| self.seen_from_here(facts))),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.blind(error)),
        }
    }

    /// Leaves out what leads to somebody else from here: ports of another host, and addresses within that. What this host
    /// publishes at all of its addresses is at each.
    fn seen_from_here(&self, mut facts: Facts) -> Facts {
        if !self.is_here {
            facts.described.ways.clear();
        } else if !facts.described.ways.is_empty() {
            at_each_address(&mut facts.described.ways, &addresses_of_host());
        }
        facts
    }

    /// Finds a container; of several the [`best`].
    pub(super) async fn find(&self, sought: &Sought, followed: Option<&str>) -> Result<Option<Facts>, Blind> {
        match sought {
            // The beginning of an id would be found too.
            Sought::Name(name) => Ok(self.inspect(name).await?.filter(|facts| facts.name == *name)),
            Sought::Labels(labels) => {
                let mut found = Vec::new();
                for id in self.list(labels).await? {
                    found.extend(self.inspect(&id).await?);
                }
                Ok(best(found, followed))
            }
        }
    }

    /// Returns the containers that want to be watched.
    pub(super) async fn survey(&self, wanted: &Wanted) -> Result<Vec<Sighting>, Blind> {
        let mut found: Vec<Sighting> = Vec::new();
        for label in wanted.filters() {
            let seen = self.list_by(vec![label]).await?.into_iter().filter_map(|summary| wanted.sighting(summary));
            // Some are found by both labels.
            let seen: Vec<Sighting> = seen.filter(|seen| !found.iter().any(|known| known.id == seen.id)).collect();
            found.extend(seen);
        }
        Ok(found)
    }

    async fn list(&self, labels: &[(String, String)]) -> Result<Vec<String>, Blind> {
        let labels = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let is_service = |container: &ContainerSummary| !container.labels.as_ref().is_some_and(is_oneoff);
        let found = self.list_by(labels).await?.into_iter().filter(is_service);
        Ok(found.filter_map(|container| container.id).collect())
    }

    async fn list_by(&self, labels: Vec<String>) -> Result<Vec<ContainerSummary>, Blind> {
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let answer = self.within(self.docker.list_containers(Some(options))).await?;
        answer.map_err(|error| self.blind(error))
    }

    /// Returns what happened since `from`, as far as the engine remembers: 256 events of Docker.
    pub(super) async fn missed(&self, from: Timestamp) -> Result<Vec<Happening>, Blind> {
        let options = events_since(from).until(&seconds(Timestamp::now())).build();
        // Podman reads them from the journal, as far back as that goes. What comes after these, the stream tells.
        let all = self.happenings(options).take(MAX_MISSED).collect::<Vec<_>>();
        self.within(all).await?.into_iter().collect()
    }

    /// Returns what happens from `from` on.
    pub(super) fn events(&self, from: Timestamp) -> BoxStream<'static, Result<Happening, Blind>> {
        self.happenings(events_since(from).build()).boxed()
    }

    /// Tells that containers come, go, or get other addresses.
    pub(super) fn changes(&self, from: Timestamp) -> BoxStream<'static, Result<(), Blind>> {
        let events = ["create", "start", "die", "died", "destroy", "remove", "rename"];
        let address = self.address.clone();
        let events = self.docker.events(Some(events_of(from, &events).build()));
        let change = move |event: Result<EventMessage, Error>| event.map(drop).map_err(|error| blind(&address, error));
        events.map(change).boxed()
    }

    fn happenings(&self, options: EventsOptions) -> impl Stream<Item = Result<Happening, Blind>> + Send + use<> {
        let (docker, address) = (self.docker.clone(), self.address.clone());
        let events = docker.events(Some(options));
        events.filter_map(move |event: Result<EventMessage, Error>| {
            let read = match event {
                Ok(message) => Happening::of(message).map(Ok),
                Err(error) => Some(Err(blind(&address, error))),
            };
            std::future::ready(read)
        })
    }

    /// Returns the last lines of one run, if they are wanted; fewer, or none, if the engine does not give them.
    pub(super) async fn last_lines(&self, wanted: Option<LogSlice>) -> Vec<String> {
        let Some(slice) = &wanted else { return Vec::new() };
        let whole_secs = |time: Timestamp| i32::try_from(time.as_second()).unwrap_or(0);
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(whole_secs(slice.from))
            .until(whole_secs(slice.to).saturating_add(1))
            .tail(LINES_READ)
            .build();
        let mut log = self.docker.logs(&slice.container, Some(options)).boxed();
        let mut lines = LastLines::default();
        let read = async {
            while let Some(Ok(output)) = log.next().await {
                lines.extend(line_of(&output, slice));
            }
        };
        // What came in time is better than nothing.
        let _late = tokio::time::timeout(ANSWER_PATIENCE, read).await;
        lines.to_vec()
    }

    /// Does what is ordered to a container. That it stands already as ordered is no refusal.
    pub(super) fn act(
        &self,
        command: Command,
        container: String,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + use<> {
        let (address, docker) = (self.address.clone(), self.docker.clone().with_timeout(ACT_PATIENCE));
        async move {
            let (verb, answer) = match command {
                Command::Start(_) => ("start", docker.start_container(&container, None).await),
                Command::Stop(_) => ("stop", docker.stop_container(&container, None).await),
                Command::Restart(_) | Command::Heal => ("restart", docker.restart_container(&container, None).await),
                Command::Excuse(..) => return Ok(()),
            };
            match answer {
                Ok(()) | Err(Error::DockerResponseServerError { status_code: 304, .. }) => Ok(()),
                Err(error) if is_forbidden(&error) => Err(Refusal::ReadOnly { address, why: words(error) }),
                Err(error) => Err(Refusal::Failed { address, verb, why: words(error) }),
            }
        }
    }

    /// Makes the error of an event stream that ended.
    pub(super) fn hung_up(&self) -> Blind {
        Blind { address: self.address.clone(), why: "it ended its stream of events".to_owned() }
    }

    async fn within<T>(&self, answer: impl Future<Output = T>) -> Result<T, Blind> {
        tokio::time::timeout(ANSWER_PATIENCE, answer).await.map_err(|_elapsed| Blind {
            address: self.address.clone(),
            why: format!("no answer within {} s", ANSWER_PATIENCE.as_secs()),
        })
    }

    fn blind(&self, error: Error) -> Blind {
        blind(&self.address, error)
    }
}

/// Returns the one of several that is `followed` as long as it runs or is about to, then the newest that runs, as a
/// discovery chooses (`Roster::take`), so that one container is asked and watched; then the one that ran last.
fn best(found: Vec<Facts>, followed: Option<&str>) -> Option<Facts> {
    let stays = |facts: &Facts| followed == Some(facts.id.as_str()) && (facts.running || facts.restarting);
    // Lists of an engine say seconds.
    let newest = |facts: &Facts| (facts.created.map(Timestamp::as_second), facts.name.clone());
    found
        .into_iter()
        .max_by_key(|facts| (stays(facts), facts.running, facts.running.then(|| newest(facts)), facts.started))
}

fn blind(address: &str, error: Error) -> Blind {
    let hint = if is_forbidden(&error) {
        "; a proxy in front of it must allow GET of _ping, containers and events"
    } else {
        ""
    };
    Blind { address: address.to_owned(), why: words(error) + hint }
}

/// A proxy with an allow-list says one of these.
fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 401 | 403 | 405, .. })
}

/// Says an error with what is behind it; bollard's own words often leave out why.
fn words(error: Error) -> String {
    match &error {
        Error::SocketNotFoundError(path) => return format!("there is no socket {path}"),
        // An engine says why in JSON; what stands in between sends a page, which says no more than its status.
        Error::DockerResponseServerError { status_code, message } if message.trim_start().starts_with('<') => {
            let status = StatusCode::from_u16(*status_code)
                .map_or_else(|_| status_code.to_string(), |status| status.to_string());
            return format!("it answers with {status}");
        }
        _ => {}
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        let why = error.to_string();
        if !text.contains(&why) {
            text.push_str(": ");
            text.push_str(&why);
        }
        source = error.source();
    }
    text
}

fn events_since(from: Timestamp) -> EventsOptionsBuilder {
    events_of(from, &What::NAMES)
}

fn events_of(from: Timestamp, names: &[&str]) -> EventsOptionsBuilder {
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), names.iter().map(|name| (*name).to_owned()).collect()),
    ]);
    EventsOptionsBuilder::default().since(&seconds(from)).filters(&filters)
}

/// Writes a time as Docker reads it: seconds, a dot, nine digits.
fn seconds(time: Timestamp) -> String {
    format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())
}

/// Returns the line that the engine says was written, if this run wrote it: each begins with the time.
fn line_of(output: &LogOutput, slice: &LogSlice) -> Option<String> {
    let text = String::from_utf8_lossy(output.as_ref());
    let (time, line) = text.split_once(' ')?;
    let is_of_it = |time: Timestamp| slice.from <= time && time <= slice.to;
    time.parse().is_ok_and(is_of_it).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_this_run_are_taken() {
        let at = |secs: i64| Timestamp::from_second(1_800_000_000 + secs).unwrap();
        let slice = LogSlice { container: "web".to_owned(), from: at(10), to: at(20) };
        for (secs, expected) in [(9, None), (10, Some("a line")), (20, Some("a line")), (21, None)] {
            let message = format!("{} a line\r\n", at(secs)).into();
            assert_eq!(line_of(&LogOutput::StdErr { message }, &slice).as_deref(), expected);
        }
    }

    #[test]
    fn of_several_the_followed_one_stays_and_then_the_newest_that_runs_is_chosen() {
        // Each `ID CREATED STARTED`, in minutes; one that has ended has a `!`.
        let facts = |text: &str| {
            let words: Vec<&str> = text.trim_end_matches('!').split(' ').collect();
            let running = !text.ends_with('!');
            let json = format!(
                r#"{{"Id": "{id}", "Name": "/{id}", "Created": "2026-11-25T03:{}:00Z",
                "State": {{"Running": {running}, "StartedAt": "2026-11-25T04:{}:00Z"}}}}"#,
                words[1],
                words[2],
                id = words[0]
            );
            Facts::of(serde_json::from_str(&json).unwrap()).unwrap()
        };
        for (found, followed, expected) in [
            (["a 10 59", "b 20 21", "c 30 31!"], None, "b"),
            (["a 10 59", "b 20 21", "c 30 31!"], Some("a"), "a"),
            (["a 10 59", "b 20 21", "c 30 31!"], Some("c"), "b"),
            (["a 10 59", "b 10 21", "c 10 31"], None, "c"),
            (["a 10 59!", "b 20 21!", "c 30 31!"], Some("c"), "a"),
        ] {
            let best = best(found.map(facts).to_vec(), followed).unwrap();
            assert_eq!(best.id, expected, "{found:?} {followed:?}");
        }
    }

    #[test]
    fn times_are_written_with_all_their_digits() {
        assert_eq!(seconds("2026-11-25T03:06:12.0123Z".parse().unwrap()), "1795575972.012300000");
    }

    #[test]
    fn a_missing_socket_is_named_with_its_engine() {
        let mut address = Address::default();
        address.shown = "unix:///no/such.sock".to_owned();
        let error = Connection::open(&address).err().unwrap();
        assert_eq!(
            error.to_string(),
            "the container engine at unix:///no/such.sock cannot be asked: there is no socket /no/such.sock"
        );
    }
}
