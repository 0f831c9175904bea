//! Which streams there are, and which groups they have.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::super::redis::glob::escaped;
use super::super::{PAGE, SourceError};
use super::RedisStreams;
use super::keys::queue_of;

/// Streams, and groups of all of them, at most.
const MOST: usize = 10_000;

impl RedisStreams {
    pub(super) async fn find_queues(&self) -> Result<Vec<String>, SourceError> {
        let streams = self.find_streams().await?;
        let groups = self.groups_of(&streams).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(streams);
        let mut queues: Vec<String> = groups
            .iter()
            .flat_map(|(stream, groups)| groups.iter().map(move |group| queue_of(stream, group)))
            .collect();
        if queues.len() > MOST {
            return Err(SourceError::Odd(format!("there are more than {MOST} groups; name the streams that count")));
        }
        queues.sort();
        self.watch().retain(&queues);
        Ok(queues)
    }

    /// What is put back could be lost, or do harm to others.
    pub(super) async fn find_hazards(&self) -> Result<Vec<String>, SourceError> {
        let mut hazards: Vec<String> = self.server.find_eviction("entries").await?.into_iter().collect();
        if self.settings.other_groups_are_harmless {
            return Ok(hazards);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let streams = match known {
            Some(streams) => streams,
            None => self.find_streams().await?,
        };
        let groups = self.groups_of(&streams).await?;
        let shared = groups.into_iter().find(|(_, groups)| groups.len() > 1);
        hazards.extend(shared.map(|(stream, groups)| {
            format!(
                "what is redriven into {stream:?} reaches all {} groups of it; write other_groups: harmless if they bear \
                 that",
                groups.len()
            )
        }));
        Ok(hazards)
    }

    async fn find_streams(&self) -> Result<BTreeSet<String>, SourceError> {
        let mut found = BTreeSet::new();
        for name in &self.settings.streams {
            if name.contains('*') {
                self.scan(name, &mut found).await?;
            } else {
                let mut asked = redis::pipe();
                asked.cmd("TYPE").arg(name);
                let (kind,): (String,) = self.server.ask(&asked).await?;
                match kind.as_str() {
                    "stream" => drop(found.insert(name.clone())),
                    // It may come.
                    "none" => {}
                    kind => return Err(SourceError::Odd(format!("Redis: {name:?} is a {kind}, and no stream"))),
                }
            }
        }
        Ok(found)
    }

    async fn scan(&self, pattern: &str, found: &mut BTreeSet<String>) -> Result<(), SourceError> {
        let pattern: Vec<String> = pattern.split('*').map(escaped).collect();
        let mut scan = self.server.scan(pattern.join("*"), Some("stream"));
        while let Some(names) = scan.next().await? {
            // What cannot be written in a configuration, or into a ledger in PostgreSQL, is left alone.
            let names = names.into_iter().filter_map(|name| String::from_utf8(name).ok());
            found.extend(names.filter(|name| !name.contains('\0')));
            if found.len() > MOST {
                return Err(SourceError::Odd(format!("there are more than {MOST} streams; name those that count")));
            }
        }
        Ok(())
    }

    /// Of a stream that has gone since, none.
    async fn groups_of(&self, streams: &BTreeSet<String>) -> Result<Vec<(String, Vec<Vec<u8>>)>, SourceError> {
        let streams: Vec<&String> = streams.iter().collect();
        let mut found = Vec::with_capacity(streams.len());
        for part in streams.chunks(PAGE) {
            let mut calls = redis::pipe();
            for stream in part {
                calls.cmd("EVALSHA").arg(self.scripts.groups.hash()).arg(1).arg(stream);
            }
            let groups: Vec<Vec<Vec<u8>>> = self.server.run(&self.scripts.groups, &calls).await?;
            found.extend(part.iter().map(|stream| (*stream).clone()).zip(groups));
        }
        Ok(found)
    }
}
