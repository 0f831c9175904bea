//! Where redriven entries are.

use jiff::Timestamp;

use super::super::{PAGE, Sought, SourceError, State};
use super::RedisStreams;
use super::entry_id::EntryId;
use super::keys::Group;
use super::settings::Standing;

/// Where it is, its id, its consumer, milliseconds that it is idle, deliveries.
type Row = (u8, String, Vec<u8>, u64, u64);

impl RedisStreams {
    pub(super) async fn find_states(&self, jobs: &[Sought]) -> Result<Vec<State>, SourceError> {
        let mut states = Vec::with_capacity(jobs.len());
        for part in jobs.chunks(PAGE) {
            let mut calls = redis::pipe();
            for Sought { queue, job, order } in part {
                let Some(group) = Group::of(queue) else { continue };
                calls.cmd("EVALSHA").arg(self.scripts.state.hash()).arg(4).arg(group.stream).arg(group.copies());
                calls.arg(group.newest(job)).arg(group.guard(order.as_deref().unwrap_or_default()));
                calls.arg(&group.name).arg(job).arg(if order.is_some() { "1" } else { "0" });
            }
            let mut rows: Vec<Row> = Vec::new();
            if !calls.is_empty() {
                rows = self.server.run(&self.scripts.state, &calls).await?;
            }
            let mut rows = rows.into_iter();
            let state = |Sought { queue, .. }: &Sought| {
                let row = Group::of(queue).and_then(|_| rows.next());
                row.map_or(State::Gone, |row| self.state_of(queue, &row))
            };
            states.extend(part.iter().map(state));
        }
        Ok(states)
    }

    fn state_of(&self, queue: &str, (place, id, consumer, idle_ms, deliveries): &Row) -> State {
        match (place, EntryId::parse(id)) {
            (1, _) => State::UnderWay,
            (2, Some(id)) => {
                let consumers = self.watch().consumers(queue, id, consumer);
                let standing = Standing { deliveries: *deliveries, idle_ms: *idle_ms, consumers, put_in_at_ms: id.ms };
                let is_dead = self.settings.dead_after.is_met(standing, Timestamp::now().as_millisecond());
                if is_dead { State::Failed(id.ms) } else { State::UnderWay }
            }
            (3, _) => State::Completed,
            (4, _) => State::Lost,
            _ => State::Gone,
        }
    }
}
