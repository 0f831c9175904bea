//! Weeks in simulated time with a known truth: is everybody paged for what matters, and for nothing else?

use std::time::Duration;

use kit::clock::Moment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::message::Happening;
use super::world::{Truth, World};

/// Days in everyday tests, and where time does not matter.
const DAYS: (u64, u64) = (3, 30);
const DAY_SECS: u64 = 86_400;
/// Two services stand alone, the others need each other as a small shop does.
const SERVICES: &str =
    "db cache mail:cache api:db,cache web:api cart:api,db search:db pay:api admin:web jobs:db blog wiki";

/// Something that happens to services for a while.
#[derive(Debug, Clone)]
struct Trouble {
    at: u64,
    secs: u64,
    what: What,
    services: Vec<String>,
    /// The service that is to be paged; none if nobody is.
    page: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Down,
    Hidden,
    Flapping,
    ReceiverAway,
}

/// Everything that happens in so many days, oldest first. Real outages never overlap, so that each has one right answer.
fn troubles(days: u64, random: &mut StdRng) -> Vec<Trouble> {
    let names: Vec<String> =
        SERVICES.split_whitespace().map(|text| text.split(':').next().unwrap().to_owned()).collect();
    let mut troubles = Vec::new();
    let mut add = |at, secs, what, services: &[&str], page: Option<&str>| {
        let services = services.iter().map(|name| (*name).to_owned()).collect();
        troubles.push(Trouble { at, secs, what, services, page: page.map(ToOwned::to_owned) });
    };
    for day in 0..days {
        let begin = day * DAY_SECS;
        let hour = |hour: u64| begin + hour * 3600;
        // Each service is deployed twice a day: it is away for a moment.
        for name in &names {
            for _ in 0..2 {
                add(begin + random.random_range(0..DAY_SECS), random.random_range(1..4), What::Down, &[name], None);
            }
        }
        // Packets get lost: a probe fails here and there.
        for _ in 0..20 {
            let name = &names[random.random_range(0..names.len())];
            add(begin + random.random_range(0..DAY_SECS), 1, What::Down, &[name], None);
        }
        // Our own resolver hiccups: nothing can be asked for a minute.
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        add(hour(3), 60, What::Hidden, &all, None);
        // Real outages, one a third of a day: alone, or with everything that needs it.
        add(hour(6), random.random_range(120..3600), What::Down, &["blog"], Some("blog"));
        let needing = ["db", "api", "web", "cart", "search", "pay", "admin", "jobs"];
        add(hour(11), random.random_range(120..5400), What::Down, &needing, Some("db"));
        add(hour(17), random.random_range(120..2400), What::Down, &["pay"], Some("pay"));
        match day % 3 {
            // The machine reboots: everything is away for a minute and a half; what nothing else explains is paged.
            0 => {
                for root in ["db", "cache", "blog", "wiki"] {
                    add(hour(14), 90, What::Down, &[root], Some(root));
                }
                add(hour(14), 90, What::Down, &["mail", "api", "web", "cart", "search", "pay", "admin", "jobs"], None);
            }
            1 => add(hour(20), 1200, What::Flapping, &["wiki"], Some("wiki")),
            // The receiver is away while something breaks and comes back.
            _ => {
                add(hour(20), 1800, What::ReceiverAway, &[], None);
                add(hour(20) + 300, 600, What::Down, &["mail"], Some("mail"));
            }
        }
    }
    troubles.sort_by_key(|trouble| trouble.at);
    troubles
}

/// Plays what happens, second by second where something does.
fn play(world: &mut World, troubles: &[Trouble], secs: u64) {
    let mut edges: Vec<(u64, usize, bool)> = Vec::new();
    for (index, trouble) in troubles.iter().enumerate() {
        if trouble.what == What::Flapping {
            // 15 s down, 25 s up, again and again.
            for begin in (trouble.at..trouble.at + trouble.secs).step_by(40) {
                edges.extend([(begin, index, true), (begin + 15, index, false)]);
            }
        } else {
            edges.extend([(trouble.at, index, true), (trouble.at + trouble.secs, index, false)]);
        }
    }
    edges.sort_unstable();
    let mut active: Vec<usize> = Vec::new();
    for (at, index, begins) in edges {
        let now = u64::try_from(world.now.as_ms()).unwrap() / 1000;
        world.pass_quickly(at.saturating_sub(now));
        if begins {
            active.push(index);
        } else {
            active.retain(|known| *known != index);
        }
        let truth_of = |name: &str| {
            let mine = active
                .iter()
                .map(|index| &troubles[*index])
                .filter(|trouble| trouble.services.iter().any(|s| s == name));
            mine.map(|trouble| trouble.what).fold(Truth::Up, |truth, what| match (truth, what) {
                (Truth::Hidden, _) | (_, What::Hidden) => Truth::Hidden,
                (_, What::Down | What::Flapping) => Truth::Down,
                (truth, What::ReceiverAway) => truth,
            })
        };
        let names: Vec<String> = world.services.iter().map(|service| service.name.to_string()).collect();
        for name in names {
            world.set(&name, truth_of(&name));
        }
        world.ops().is_away = active.iter().any(|index| troubles[*index].what == What::ReceiverAway);
    }
    let now = u64::try_from(world.now.as_ms()).unwrap() / 1000;
    world.pass_quickly(secs.saturating_sub(now));
}

#[test]
fn every_true_incident_is_paged_little_else_is_and_few_messages_say_it() {
    let seed = testkit::seed();
    let days = testkit::at_scale(DAYS.0, DAYS.1);
    let troubles = troubles(days, &mut StdRng::seed_from_u64(seed));
    let mut world = World::new(SERVICES);
    let begin = world.stamp().wall;
    play(&mut world, &troubles, days * DAY_SECS + 3600);

    let paged: Vec<(String, Moment)> = world
        .ops()
        .messages
        .iter()
        .flat_map(|message| &message.alerts)
        .filter(|part| matches!(part.happening, Happening::Opened))
        .map(|part| {
            let at = part.opened.duration_since(begin).as_millis();
            (part.service.clone().unwrap_or_default(), Moment::from_ms(i64::try_from(at).unwrap()))
        })
        .collect();
    let wanted: Vec<&Trouble> = troubles.iter().filter(|trouble| trouble.page.is_some()).collect();
    let fits = |trouble: &Trouble, (service, at): &(String, Moment)| {
        let from = Moment::from_ms(i64::try_from(trouble.at * 1000).unwrap());
        let to = from + Duration::from_secs(trouble.secs + 60);
        trouble.page.as_deref() == Some(service.as_str()) && (from..=to).contains(at)
    };
    let missed: Vec<&&Trouble> =
        wanted.iter().filter(|trouble| !paged.iter().any(|page| fits(trouble, page))).collect();
    let wrong: Vec<&(String, Moment)> =
        paged.iter().filter(|page| !wanted.iter().any(|trouble| fits(trouble, page))).collect();
    let (messages, pages, incidents) = (world.ops().messages.len(), paged.len(), wanted.len());
    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    let (precision, each) = (1.0 - wrong.len() as f64 / pages as f64, messages as f64 / incidents as f64);
    println!(
        "{days} days: {incidents} true incidents, {} missed, {pages} pages, precision {:.1} %, {each:.2} messages an incident",
        missed.len(),
        precision * 100.0
    );
    assert!(missed.is_empty(), "not paged: {missed:?}");
    assert!(precision >= 0.98, "paged for nothing: {wrong:?}");
    assert!(each <= 2.2, "{messages} messages for {incidents} incidents");
    assert!(world.ops().open.is_empty(), "{:?}", world.ops().open);
}
