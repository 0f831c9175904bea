//! What is kept of what was found, before and after the first answer.

use kit::config::Environment;

use super::super::found::tests::container;
use super::*;
use crate::config::Config;
use crate::probe::Kinds;
use crate::record::Stores;
use crate::supervise::discovery::Sighting;

/// A configuration with one discovery, of an engine that nobody runs.
fn plan(engine: &str) -> Plan {
    plan_with(engine, 100)
}

fn plan_with(engine: &str, limit: usize) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yml");
    let yaml = format!(
        "discover: {{ docker: {{ container: {{ engine: \"unix:///no/{engine}.sock\" }}, forget_after: 1s, limit: {limit} }} }}"
    );
    std::fs::write(&file, yaml).unwrap();
    Plan::of(&Config::load(&file, &Environment::default()), &Kinds::standard()).unwrap()
}

fn sighting(name: &str) -> Sighting {
    container(name, "172.17.0.2", "")
}

/// What an earlier monitor had found at an engine, and had not seen for an hour when it ended.
fn long_lost(names: &[&str]) -> Roster {
    let mut roster = Roster::default();
    roster.take(names.iter().map(|name| sighting(name)).collect(), 100, Timestamp::UNIX_EPOCH);
    roster.take(Vec::new(), 100, Timestamp::now() - Duration::from_secs(3600));
    roster
}

/// Begins with a roster, and takes looks, each with the names that are seen; none is an engine that does not answer.
/// Returns what is known after each, `!` for what is lost.
async fn known_after(roster: Roster, looks: &[Option<&[&str]>]) -> Vec<String> {
    let (plan, folder) = (plan("here"), tempfile::tempdir().unwrap());
    let stores = Stores::open(folder.path()).await.unwrap();
    let mut discoveries = Discoveries::restored(&plan, &Memory::default());
    discoveries.found.rosters.insert("docker".into(), roster);
    discoveries.configure(&plan, &stores.state);
    let mut shown = vec![shown(&mut discoveries)];
    for look in looks {
        let look = look.map(|names| names.iter().map(|name| sighting(name)).collect()).ok_or_else(|| "away".to_owned());
        discoveries.take(Seen { discovery: "docker".into(), generation: discoveries.generation, look });
        shown.push(self::shown(&mut discoveries));
    }
    shown
}

fn shown(discoveries: &mut Discoveries) -> String {
    discoveries.forget();
    let known = discoveries.found.rosters["docker"].known();
    let word = |known: &crate::supervise::discovery::Known| {
        format!("{}{}", known.sighting.name, if known.lost.is_some() { "!" } else { "" })
    };
    known.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_an_earlier_monitor_had_found_is_not_forgotten_before_somebody_has_looked() {
    let roster = long_lost(&["web", "db"]);
    assert_eq!(known_after(roster.clone(), &[Some(&["web"])]).await, ["db! web!", "web"]);
    assert_eq!(known_after(roster, &[None, Some(&["db"])]).await, ["db! web!", "db! web!", "db"]);
}

#[tokio::test]
async fn nobody_is_woken_to_forget_what_may_be_back() {
    let (plan, folder) = (plan("here"), tempfile::tempdir().unwrap());
    let stores = Stores::open(folder.path()).await.unwrap();
    let mut discoveries = Discoveries::restored(&plan, &Memory::default());
    discoveries.found.rosters.insert("docker".into(), long_lost(&["web"]));
    discoveries.configure(&plan, &stores.state);
    assert_eq!(discoveries.next_forgotten(), FORGET_AT_LEAST_EVERY);
    // Another setting of it looks anew.
    discoveries.unanswered.clear();
    assert!(discoveries.next_forgotten() < FORGET_AT_LEAST_EVERY);
    discoveries.configure(&plan_with("here", 7), &stores.state);
    assert_eq!(discoveries.next_forgotten(), FORGET_AT_LEAST_EVERY);
}
