//! The registry of rules: one file a group. A new rule is a value in its group's list, and nothing else.

mod files;
mod gates;
mod health;
mod images;
mod instances;
mod networks;
mod restarts;
mod scrape;
mod settings;
mod targets;
mod telemetry;
mod units;

use super::compose::Project;
use super::examined;
use super::finding::{Rule, RuleText};
use super::footing::TEXTS;
use super::units::UnitSet;

/// Returns every rule about compose files.
pub fn compose_rules() -> Vec<&'static Rule<Project>> {
    let groups = [
        health::RULES,
        gates::RULES,
        targets::RULES,
        instances::RULES,
        networks::RULES,
        images::RULES,
        restarts::RULES,
        settings::RULES,
        scrape::RULES,
        telemetry::RULES,
        files::RULES,
    ];
    groups.into_iter().flatten().collect()
}

/// Returns every rule about systemd units.
pub fn unit_rules() -> Vec<&'static Rule<UnitSet>> {
    units::RULES.iter().collect()
}

/// Returns what every rule says about itself.
pub fn texts() -> Vec<RuleText> {
    let of_units = unit_rules().into_iter().map(|rule| rule.text);
    compose_rules().into_iter().map(|rule| rule.text).chain(of_units).chain(TEXTS).chain(examined::TEXTS).collect()
}
