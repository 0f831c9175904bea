//! After any history of services that fail and recover, the receiver shows exactly what is down.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::desk_tests::silence;
use super::world::{Truth, World};

/// Random worlds: few in everyday tests, many where time does not matter.
fn cases() -> u32 {
    testkit::at_scale(32, 5_000)
}

/// One thing that may happen in a random world.
#[derive(Debug, Clone)]
enum Act {
    Set(usize, Truth),
    Flap(usize),
    Silence(usize, i64),
    Away(bool),
    Restart,
    Reload,
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let truth = prop_oneof![
        3 => Just(Truth::Up),
        3 => Just(Truth::Down),
        1 => Just(Truth::Slow),
        1 => Just(Truth::Hidden),
    ];
    prop_oneof![
        6 => (0..4usize, truth).prop_map(|(service, truth)| Act::Set(service, truth)),
        1 => (0..4usize).prop_map(Act::Flap),
        1 => (0..4usize, 60..900i64).prop_map(|(service, secs)| Act::Silence(service, secs)),
        1 => any::<bool>().prop_map(Act::Away),
        2 => Just(Act::Restart),
        1 => Just(Act::Reload),
        6 => (1..200u64).prop_map(Act::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_the_receiver_shows_exactly_what_is_down(acts in prop::collection::vec(act(), 1..40)) {
        let names = ["a", "b", "c", "d"];
        let mut world = World::new("a b c d");
        for act in acts {
            match act {
                Act::Set(service, truth) => world.set(names[service], truth),
                Act::Flap(service) => for _ in 0..6 {
                    world.set(names[service], Truth::Down);
                    world.pass(11);
                    world.set(names[service], Truth::Up);
                    world.pass(21);
                },
                Act::Silence(service, secs) => {
                    let silence = silence(&world, &format!("service={}", names[service]), secs);
                    world.suppression.silences.push(silence);
                }
                Act::Away(is_away) => world.ops().is_away = is_away,
                Act::Restart => world.restart(),
                Act::Reload => world.configure(),
                Act::Pass(secs) => world.pass(secs),
            }
        }
        // Quiet at last: the receiver is back, silences are over, nothing changes any more.
        world.ops().is_away = false;
        names.iter().for_each(|name| {
            let hidden = world.services.iter().any(|s| &*s.name == *name && s.truth == Truth::Hidden);
            if hidden { world.set(name, Truth::Up); }
        });
        world.pass(2400);
        let down: BTreeSet<String> = world.services.iter()
            .filter(|service| service.truth == Truth::Down).map(|service| service.name.to_string()).collect();
        prop_assert_eq!(world.paged("ops"), down, "{:?}", world.said("ops"));
    }
}
