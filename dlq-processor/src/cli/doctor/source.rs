//! Looks at one source: whether it answers, and what of it and of its queues would lose letters or hold them back.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use kit::config::show_duration;
use tokio::time::timeout;

use super::load::say_load;
use super::{Finding, Mark};
use crate::settings::{Settings, SourceSettings};
use crate::source::{Orphans, Peril, SourceError};

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest look for queues, and for jobs that are in no list: all keys are looked at.
const ALL_WITHIN: Duration = Duration::from_secs(20);
/// How far clocks may differ: ages, waits and what failed lately are told by them.
const SKEW_MS: u64 = 1000;
/// Queues whose load is looked at, at most.
const LOADS: usize = 200;

/// Everything that is found; the first thing that does not answer ends it.
pub(super) async fn look(settings: &Settings, of: &SourceSettings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = &of.name;
    match look_into(settings, of, &mut findings).await {
        Ok(()) => {}
        Err(SourceError::Unmade(why)) => findings.push(Finding::new(Mark::Note, name, None, &why)),
        Err(why) => {
            let sentence = format!("does not answer: {why}; see that it runs, and that sources.{name} says where");
            findings.push(Finding::new(Mark::Wrong, name, None, &sentence));
        }
    }
    findings
}

async fn look_into(settings: &Settings, of: &SourceSettings, findings: &mut Vec<Finding>) -> Result<(), SourceError> {
    let SourceSettings { name, source, .. } = of;
    let mut queues = within(ALL_WITHIN, source.queues()).await?;
    queues.retain(|queue| of.queues.iter().any(|pattern| pattern.matches(queue)));
    findings.push(match queues.len() {
        0 => Finding::new(Mark::Note, name, None, &format!("has no queues yet; sources.{name} says which count")),
        1 => Finding::new(Mark::Fine, name, None, "answers, and has 1 queue"),
        some => Finding::new(Mark::Fine, name, None, &format!("answers, and has {some} queues")),
    });
    let hazards = within(DEADLINE, source.hazards()).await?;
    findings.extend(hazards.iter().map(|why| Finding::new(Mark::Wrong, name, None, why)));
    findings.extend(look_at_clock(of).await?);
    let notes = within(DEADLINE, source.notes()).await?;
    findings.extend(notes.iter().map(|note| Finding::new(Mark::Note, name, None, note)));
    for Peril { queue, kind, why } in within(DEADLINE, source.perils(&queues)).await? {
        let is_accepted = settings.of_queue(&queue).accepts.contains(&kind);
        let mark = if is_accepted { Mark::Note } else { Mark::Wrong };
        findings.push(Finding::new(mark, name, Some(&queue), &why));
    }
    match timeout(ALL_WITHIN, source.orphans(&queues)).await {
        Ok(Ok(found)) => findings.extend(found.iter().filter_map(|orphans| say_orphans(name, orphans))),
        Ok(Err(why)) => {
            let sentence = format!("cannot be looked through for jobs that are in no list: {why}");
            findings.push(Finding::new(Mark::Note, name, None, &sentence));
        }
        Err(_elapsed) => {
            let sentence = "holds too much to be looked through for jobs that are in no list";
            findings.push(Finding::new(Mark::Note, name, None, sentence));
        }
    }
    // Where nothing but what is dead is nobody should work.
    for queue in queues.iter().filter(|queue| source.manners(queue).keeps_dead).take(LOADS) {
        let load = within(DEADLINE, source.load(queue)).await?;
        findings.extend(say_load(name, queue, load, &settings.of_queue(queue).limits));
    }
    Ok(())
}

/// Jobs that nobody will ever run.
fn say_orphans(source: &str, Orphans { queue, count, jobs, .. }: &Orphans) -> Option<Finding> {
    let first = jobs.first()?;
    let is = if *count == 1 { "job is" } else { "jobs are" };
    let sentence = format!(
        "{count} {is} in no list of it, such as {first}: nobody will run what is there; see whether they were done, and add \
        those anew that were not"
    );
    Some(Finding::new(Mark::Wrong, source, Some(queue), &sentence))
}

/// Its clock beside ours, as it was in the middle of the question.
async fn look_at_clock(of: &SourceSettings) -> Result<Option<Finding>, SourceError> {
    let (before, asked) = (Timestamp::now().as_millisecond(), Instant::now());
    let Some(theirs) = within(DEADLINE, of.source.time()).await? else { return Ok(None) };
    let half = i64::try_from(asked.elapsed().as_millis() / 2).unwrap_or_default();
    Ok(say_skew(theirs - before - half).map(|sentence| Finding::new(Mark::Wrong, &of.name, None, &sentence)))
}

fn say_skew(ahead_ms: i64) -> Option<String> {
    let skew = Duration::from_millis(ahead_ms.unsigned_abs());
    let which = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let sentence =
        || format!("its clock is {} {which} this machine's; have both set theirs by NTP", show_duration(skew));
    (ahead_ms.unsigned_abs() > SKEW_MS).then(sentence)
}

async fn within<T>(limit: Duration, asking: BoxFuture<'_, Result<T, SourceError>>) -> Result<T, SourceError> {
    timeout(limit, asking).await.unwrap_or(Err(SourceError::Late(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_a_second() {
        for (ahead_ms, expected) in
            [(0, None), (1000, None), (-1000, None), (3000, Some("3s ahead of")), (-90_000, Some("1m30s behind"))]
        {
            let said = say_skew(ahead_ms);
            assert_eq!(said.is_some(), expected.is_some(), "{ahead_ms}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{ahead_ms}");
        }
    }
}
