//! What a run of a unit was made from. Another program, command, environment or user is a new version, and announces itself
//! as another image of a container does. Pure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use uuid::Uuid;
use zbus::{Array, OwnedVariant, Variant};

use super::facts::Facts;
use crate::supervise::ledger::Ledger;

/// What of a unit decides what runs and with what (systemd.exec(5)): how it is stopped, watched or started again does not
/// make it another, and what systemd changes while it runs (memory, tasks, CPU) is no reason to restart it.
const DECIDES: [&str; 10] = [
    "Environment",
    "EnvironmentFiles",
    "PassEnvironment",
    "UnsetEnvironment",
    "WorkingDirectory",
    "RootDirectory",
    "RootImage",
    "User",
    "Group",
    "LimitNOFILE",
];
/// Of these systemd also tells when they last ran: only path and arguments count.
const COMMANDS: [&str; 2] = ["ExecStart", "ExecStartPre"];

/// A unit's settings, each as a hash: an environment holds secrets. They are compared while the monitor runs, and not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Settings(BTreeMap<String, [u8; 32]>);

impl Settings {
    /// Takes a property, if it is one that counts.
    pub(super) fn take(&mut self, name: &str, value: &OwnedVariant) {
        let told = if COMMANDS.contains(&name) {
            Array::try_from(value.clone()).ok().map(|all| format!("{:?} {:?}", program(&all), commands(&all)))
        } else {
            DECIDES.contains(&name).then(|| format!("{value:?}"))
        };
        if let Some(told) = told {
            self.0.insert(name.to_owned(), Sha256::digest(told).into());
        }
    }

    fn are_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// Returns whether both are known, and are not the same.
    fn differ(&self, other: &Self) -> bool {
        self.are_known() && other.are_known() && self != other
    }
}

/// What the latest run was made from.
#[derive(Debug, Default)]
pub(super) struct Made(Option<(Uuid, Settings)>);

impl Made {
    /// Returns whether it is known what `run` was made from.
    pub(super) fn is_of(&self, run: Uuid) -> bool {
        self.0.as_ref().is_some_and(|(known, _)| *known == run)
    }

    /// Takes what `run` was made from. Files that systemd reads anew while it runs make the next run, and not this one.
    pub(super) fn note(&mut self, run: Uuid, facts: &Facts) {
        if !self.is_of(run) && facts.settings.are_known() {
            self.0 = Some((run, facts.settings.clone()));
        }
    }

    /// Returns whether what begins now is made from something else than what ran before.
    pub(super) fn is_outdated_by(&self, facts: &Facts, ledger: &Ledger) -> bool {
        let before = ledger.runs().rev().find_map(|run| run.digest.as_ref());
        let is_another = before.zip(facts.digest.as_ref()).is_some_and(|(before, digest)| before != digest);
        is_another || self.0.as_ref().is_some_and(|(_, settings)| settings.differ(&facts.settings))
    }
}

/// Returns the arguments of all commands, of each as systemd tells them: they begin with its name.
pub(super) fn commands(all: &Array<'_>) -> Vec<String> {
    let mut texts = Vec::new();
    for command in all.inner() {
        let Variant::Structure(command) = command else { continue };
        let Some(Variant::Array(arguments)) = command.fields().get(1) else { continue };
        texts.extend(arguments.inner().iter().filter_map(|argument| match argument {
            Variant::Str(text) => Some(text.to_string()),
            _ => None,
        }));
    }
    texts
}

/// Returns the file of the first command.
pub(super) fn program(all: &Array<'_>) -> Option<String> {
    match all.inner().first()? {
        Variant::Structure(command) => match command.fields().first()? {
            Variant::Str(path) => Some(path.to_string()),
            _ => None,
        },
        _ => None,
    }
}
