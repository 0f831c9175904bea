//! Any bytes as a configuration file. Never: a panic, a hang; a mistake without a place in the text; a secret, or any value
//! of a variable, in a mistake; a secret in `Debug`; two readings of one text that differ; an order of starting in which
//! something comes before what it needs.
#![no_main]

use std::path::Path;

use kit::config::{Environment, Node};
use libfuzzer_sys::fuzz_target;
use monitor::app::Plan;
use monitor::{Config, ConfigError, Kinds};

/// What the variable `SECRET` holds. No word of ours is in it.
const SECRET: &str = "zq9xw7-zq9xw7-zq9xw7";
/// Keys under which a value is a secret, whatever the kind.
const SECRET_KEYS: [&str; 8] =
    ["operator_token", "token", "password", "bearer", "bearer_token", "secret", "community", "api_key"];

fuzz_target!(init: monitor_fuzz::begin(), |bytes: &[u8]| {
    // Whoever writes the secret itself into the file sees it again.
    if !bytes.windows(6).any(|part| part.eq_ignore_ascii_case(b"zq9xw7")) {
        check(bytes);
    }
});

fn check(bytes: &[u8]) {
    let file = monitor_fuzz::write(bytes);
    let text = String::from_utf8_lossy(bytes);
    match (read(&file), read(&file)) {
        (Err(error), Err(again)) => {
            assert_eq!(error, again, "read twice");
            let shown = format!("{error}\n{error:?}").to_lowercase();
            assert!(!shown.contains("zq9xw7"), "the value of a variable is shown: {error}");
            monitor_fuzz::check_mistakes(&error.mistakes, &file, &text);
        }
        (Ok(plan), Ok(again)) => {
            let shown = format!("{plan:?}");
            assert_eq!(in_order(&plan), in_order(&again), "read twice");
            assert!(!is_only_secret(&text) || !shown.contains(SECRET), "Debug shows a secret: {shown}");
            check_order(&plan);
        }
        (first, second) => panic!("read twice: {:?}, {:?}", first.map(drop), second.map(drop)),
    }
}

fn read(file: &Path) -> Result<Plan, ConfigError> {
    let variables = [("SECRET", SECRET), ("HOST", "db.example.com"), ("PORT", "8080"), ("EMPTY", "")];
    let config = Config::load(file, &Environment::of(variables));
    assert!(!format!("{config:?}").contains(SECRET), "Debug shows the value of a variable");
    Plan::of(&config, &Kinds::standard())
}

/// What of a plan has an order, and so is shown alike each time.
fn in_order(plan: &Plan) -> String {
    let Plan { listen, access, anchors, discoveries, services, start_order, .. } = plan;
    format!("{listen} {access:?} {anchors:?} {discoveries:?} {services:?} {start_order:?}")
}

/// Returns whether the variable stands where secrets do, and nowhere else.
fn is_only_secret(text: &str) -> bool {
    let Ok(node) = Node::parse("text", text) else { return false };
    let mut secrets = 0;
    monitor_fuzz::visit(&node, "", &mut |key, node| {
        let is_secret = node.scalar_text().is_some_and(|text| text == "${SECRET}") && SECRET_KEYS.contains(&key);
        secrets += usize::from(is_secret);
    });
    // Aliases and merge keys repeat what is written once.
    text.matches("SECRET").count() == secrets && !["*", "<<"].iter().any(|word| text.contains(word))
}

fn check_order(plan: &Plan) {
    assert_eq!(plan.start_order.len(), plan.services.len(), "{:?}", plan.start_order);
    let at = |name: &str| plan.start_order.iter().position(|other| **other == *name);
    for service in &plan.services {
        let own = at(&service.name);
        assert!(own.is_some(), "{} is never started", service.name);
        let late = service.needs.hard.iter().find(|need| plan.service(need).is_some() && at(need) > own);
        assert!(late.is_none(), "{} is started before {late:?}", service.name);
    }
}
