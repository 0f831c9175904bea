//! `GET /alerts`: whether alerts get through, what keeps them quiet, and what did not arrive.

use std::collections::HashMap;

use askama::Template;
use jiff::Timestamp;
use kit::page::{Tone, words};
use uuid::Uuid;

use super::incidents::MAX_TITLE;
use super::{Ahead, Hand, Moment, When};
use crate::alert::{CHANNEL_KEY, Delivery, DeliveryState, Silence, Suppression, Window, read_rows};
use crate::export::alerts::telling::{ChannelAnswer, channel_answers};
use crate::export::shared::Shared;
use crate::record::DeliveryQuery;

/// Deliveries that are read to find each channel's last answer.
const READ: u32 = 200;
/// Dead letters that are shown, newest first.
const MAX_DEAD: usize = 20;
/// Longest answer, in characters.
const MAX_SAID: usize = 300;

#[derive(Template)]
#[template(path = "alerting.html")]
pub(super) struct Alerting {
    tone: Tone,
    sentence: String,
    counts: String,
    channels: Vec<ChannelView>,
    silences: Vec<SilenceView>,
    windows: Vec<WindowView>,
    drill: Option<DrillView>,
    next_drill: Option<Ahead>,
    dead: Option<Vec<DeadLetter>>,
    hand: Hand,
}

struct ChannelView {
    name: String,
    kind: &'static str,
    target: String,
    tone: Tone,
    word: &'static str,
    waiting: usize,
    /// What it said last, and when.
    answer: Option<(String, When)>,
    /// The incident about its failure.
    incident: Option<Uuid>,
}

struct SilenceView {
    id: Uuid,
    matchers: Vec<String>,
    /// When it begins, if it has not.
    from: Option<Ahead>,
    until: Ahead,
    by: String,
    comment: String,
}

struct WindowView {
    /// Its id, if it was made by hand and can be ended.
    id: Option<Uuid>,
    name: String,
    services: Vec<String>,
    by: String,
    open: Option<Ahead>,
    next: Option<Ahead>,
}

struct DrillView {
    tone: Tone,
    word: &'static str,
    began: Option<When>,
    succeeded: Option<When>,
    results: Vec<(String, Tone, String)>,
}

struct DeadLetter {
    incident: Uuid,
    event: u32,
    title: String,
    channel: String,
    happening: &'static str,
    said: String,
    tries: u32,
    when: When,
}

/// Makes the view, its tone and the window's title.
pub(super) async fn view(shared: &Shared, moment: &Moment) -> (Alerting, Tone, String) {
    let now = moment.now.wall;
    let sent = deliveries(shared, DeliveryState::Sent).await;
    let dead = deliveries(shared, DeliveryState::Dead).await;
    let tried: Vec<Delivery> = shared.alerts.outbox().all().filter(|delivery| delivery.tries > 0).cloned().collect();
    let last = last_answers(tried.iter().chain(sent.iter().chain(&dead).flatten()));
    let failing = failing(shared);
    let channels: Vec<ChannelView> = channel_answers(shared)
        .into_iter()
        .map(|answer| {
            let (last, incident) = (last.get(answer.name.as_str()), failing.get(&answer.name).copied());
            channel(answer, last, incident, moment)
        })
        .collect();
    let suppression = shared.alerts.suppression();
    let silences = silences(&suppression, moment);
    let windows = windows(&suppression, moment);
    let (tone, sentence) = headline(&channels);
    let open = windows.iter().filter(|window| window.open.is_some()).count() as u64;
    let in_force = suppression.silences.iter().filter(|silence| silence.is_active(now)).count() as u64;
    let counts = format!(
        "{}, {} in force, {} open",
        words::count(channels.len() as u64, "channel"),
        words::count(in_force, "silence"),
        words::count(open, "maintenance window")
    );
    let title = words::clip(&sentence, 60);
    let due = shared.alerts.settings().drill.as_ref().and_then(|drill| drill.next_after(now));
    let view = Alerting {
        tone,
        sentence,
        counts,
        channels,
        silences,
        windows,
        drill: drill(shared, moment),
        next_drill: due.map(|at| moment.ahead(at)),
        hand: moment.hand(),
        dead: match dead {
            Some(rows) => Some(dead_letters(shared, &rows, moment).await),
            None => None,
        },
    };
    (view, tone, title)
}

async fn deliveries(shared: &Shared, state: DeliveryState) -> Option<Vec<Delivery>> {
    let rows = shared.stores.state.store().deliveries(&DeliveryQuery::In(state.as_str(), READ)).await;
    rows.ok().map(|rows| read_rows(&rows))
}

/// Finds the delivery that each channel answered last.
fn last_answers<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> HashMap<&'a str, &'a Delivery> {
    let mut last: HashMap<&str, &Delivery> = HashMap::new();
    for delivery in deliveries {
        let known = last.entry(&delivery.channel).or_insert(delivery);
        if delivery.updated > known.updated {
            *known = delivery;
        }
    }
    last
}

/// Channels whose failure is an open incident, by name.
fn failing(shared: &Shared) -> HashMap<String, Uuid> {
    let desk = shared.alerts.desk();
    let about =
        desk.open().filter_map(|incident| Some((incident.key.strip_prefix(CHANNEL_KEY)?.to_owned(), incident.id)));
    about.collect()
}

fn channel(answer: ChannelAnswer, last: Option<&&Delivery>, incident: Option<Uuid>, moment: &Moment) -> ChannelView {
    let (tone, word) = match (incident, answer.said.is_some(), last.map(|last| last.state)) {
        (Some(_), ..) | (None, _, Some(DeliveryState::Dead)) => (Tone::Bad, "failing"),
        (None, true, _) => (Tone::Warn, "retrying"),
        (None, false, Some(_)) => (Tone::Good, "works"),
        (None, false, None) => (Tone::Blind, "not used yet"),
    };
    let said = last.map(|last| (words::clip(&last.said, MAX_SAID), moment.when(last.updated)));
    ChannelView {
        name: answer.name,
        kind: answer.kind,
        target: answer.target,
        tone,
        word,
        waiting: answer.waiting,
        answer: said.filter(|(said, _)| !said.is_empty()),
        incident,
    }
}

fn headline(channels: &[ChannelView]) -> (Tone, String) {
    let of =
        |tone: Tone| channels.iter().filter(move |channel| channel.tone == tone).map(|channel| channel.name.as_str());
    let failing: Vec<&str> = of(Tone::Bad).collect();
    let retrying: Vec<&str> = of(Tone::Warn).collect();
    match (failing.as_slice(), retrying.as_slice()) {
        _ if channels.is_empty() => (Tone::Warn, "Nobody is told: no channels are configured".to_owned()),
        ([], []) if channels.iter().all(|channel| channel.tone == Tone::Blind) => {
            (Tone::Blind, "No alert has been sent yet".to_owned())
        }
        ([], []) => (Tone::Good, "Alerts get through".to_owned()),
        ([], names) => (Tone::Warn, format!("Alerts wait for {}", names.join(", "))),
        (names, _) => (Tone::Bad, format!("Alerts do not reach {}", names.join(", "))),
    }
}

fn silences(suppression: &Suppression, moment: &Moment) -> Vec<SilenceView> {
    let now = moment.now.wall;
    let show = |silence: &Silence| SilenceView {
        id: silence.id,
        matchers: silence.matchers.iter().map(ToString::to_string).collect(),
        from: Some(silence.from).filter(|from| *from > now).map(|from| moment.ahead(from)),
        until: moment.ahead(silence.until),
        by: silence.by.clone(),
        comment: silence.comment.clone(),
    };
    let mut left: Vec<&Silence> = suppression.silences.iter().filter(|silence| silence.until > now).collect();
    left.sort_by_key(|silence| (!silence.is_active(now), silence.until));
    left.into_iter().map(show).collect()
}

/// Open windows first, then the next ones.
fn windows(suppression: &Suppression, moment: &Moment) -> Vec<WindowView> {
    let now = moment.now.wall;
    let mut found: Vec<(Option<Timestamp>, Option<Timestamp>, &Window)> =
        suppression.windows.iter().map(|window| (window.open_until(now), window.next(now), window)).collect();
    found.retain(|(open, next, _)| open.is_some() || next.is_some());
    found.sort_by_key(|(open, next, _)| (open.is_none(), open.or(*next)));
    let show = |(open, next, window): (Option<Timestamp>, Option<Timestamp>, &Window)| WindowView {
        id: window.id,
        name: window.name.clone(),
        services: window.services.clone(),
        by: window.by.clone(),
        open: open.map(|until| moment.ahead(until)),
        next: next.map(|from| moment.ahead(from)),
    };
    found.into_iter().map(show).collect()
}

fn drill(shared: &Shared, moment: &Moment) -> Option<DrillView> {
    let record = shared.alerts.drills();
    let began = record.began?;
    let is_running = shared.alerts.desk().open().any(crate::alert::Incident::is_trial);
    let got_through = record.succeeded.is_some_and(|at| at >= began);
    let (tone, word) = match (is_running, got_through) {
        (true, _) => (Tone::Busy, "under way"),
        (false, true) => (Tone::Good, "got through"),
        (false, false) => (Tone::Bad, "did not get through"),
    };
    let result = |(channel, said): (String, String)| {
        let tone = if said == "accepted" { Tone::Good } else { Tone::Bad };
        (channel, tone, said)
    };
    Some(DrillView {
        tone,
        word,
        began: Some(moment.when(began)),
        succeeded: record.succeeded.map(|at| moment.when(at)),
        results: record.results.into_iter().map(result).collect(),
    })
}

async fn dead_letters(shared: &Shared, rows: &[Delivery], moment: &Moment) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    for row in rows.iter().take(MAX_DEAD) {
        let incident = shared.alerts.incident(row.incident).await.ok().flatten();
        letters.push(DeadLetter {
            incident: row.incident,
            event: row.event,
            title: incident
                .map_or_else(|| "an incident".to_owned(), |incident| words::clip(&incident.title, MAX_TITLE)),
            channel: row.channel.clone(),
            happening: row.happening.as_str(),
            said: words::clip(&row.said, MAX_SAID),
            tries: row.tries,
            when: moment.when(row.updated),
        });
    }
    letters
}
