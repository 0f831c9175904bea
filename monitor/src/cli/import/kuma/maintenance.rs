//! Maintenance of Kuma as windows.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::tables::{flag, id, nested, text};
use super::{Kuma, length_ms};

/// Kuma counts from Sunday (cron).
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const DAY_SECS: u64 = 86_400;

impl Kuma<'_> {
    /// Takes one over.
    pub(super) fn maintenance(&mut self, row: &Value) {
        let title = text(row, "title").unwrap_or_default();
        let who = format!("maintenance {title}");
        if !flag(row, "active") {
            self.left_out.push(format!("{who}: it is not active"));
            return;
        }
        let services = self.maintained(row);
        if services.is_empty() {
            self.left_out.push(format!("{who}: none of its monitors is a service here"));
            return;
        }
        match when(row) {
            Ok(whens) => {
                for (at, mut when) in whens.into_iter().enumerate() {
                    let number = if at == 0 { String::new() } else { format!(" {}", at + 1) };
                    when.insert("name".to_owned(), format!("{title}{number}").into());
                    when.insert("services".to_owned(), json!(services));
                    self.windows.push(when.into());
                }
            }
            Err(why) => self.left_out.push(format!("{who}: {why}")),
        }
    }

    /// The services of its monitors, and of those in its groups.
    fn maintained(&self, row: &Value) -> Vec<String> {
        let Some(own) = id(row, "id") else { return Vec::new() };
        let monitors = self.tables.joined("monitor_maintenance", "maintenance_id", own, "monitor_id");
        let is_in = |monitor: &i64| {
            let mut here = Some(*monitor);
            for _depth in 0..16 {
                match here {
                    Some(id) if monitors.contains(&id) => return true,
                    Some(of) => here = self.tables.find("monitor", of).and_then(|row| id(row, "parent")),
                    None => return false,
                }
            }
            false
        };
        self.known.iter().filter(|(monitor, _)| is_in(monitor)).map(|(_, service)| service.clone()).collect()
    }
}

/// Returns when it is, as windows of ours say it.
fn when(row: &Value) -> Result<Vec<Map<String, Value>>, String> {
    let zone = text(row, "timezone").filter(|zone| zone != "SAME_AS_SERVER").unwrap_or_else(|| "UTC".to_owned());
    let strategy = text(row, "strategy").unwrap_or_default();
    if strategy == "single" {
        return single(row, &zone);
    }
    if !strategy.starts_with("recurring-") {
        return Err(format!("one of strategy {strategy}; write a window with every: Sun 02:00, for: 1h"));
    }
    let start = text(row, "start_time").unwrap_or_default();
    let from = clock(&start).ok_or("it has no time to begin at")?;
    let until = clock(&text(row, "end_time").unwrap_or_default()).ok_or("it has no time to end at")?;
    let length = (until + DAY_SECS - from) % DAY_SECS;
    let at = start.get(..5).unwrap_or_default();
    let every = |days: String| {
        let length = length_ms(if length == 0 { DAY_SECS } else { length } * 1000);
        let window = json!({ "every": format!("{days} {at}"), "for": length, "zone": zone });
        window.as_object().cloned().unwrap_or_default()
    };
    let list = |key: &str| nested(row, key).as_array().cloned().unwrap_or_default();
    match strategy.as_str() {
        "recurring-interval" if id(row, "interval_day") == Some(1) => Ok(vec![every("day".to_owned())]),
        "recurring-weekday" => {
            let days = list("weekdays");
            let days: Vec<&str> =
                days.iter().filter_map(|day| DAYS.get(usize::try_from(day.as_u64()? % 7).ok()?).copied()).collect();
            if days.is_empty() { Err("it has no day".to_owned()) } else { Ok(vec![every(days.join(","))]) }
        }
        "recurring-day-of-month" => {
            let days = list("days_of_month");
            let whole: Vec<u64> = days.iter().filter_map(Value::as_u64).collect();
            if whole.len() < days.len() || whole.is_empty() {
                return Err("the last day of a month cannot be said; write every: day 28 …".to_owned());
            }
            Ok(whole.iter().map(|day| every(format!("day {day}"))).collect())
        }
        other => Err(format!("one of strategy {other}; write a window with every: Sun 02:00, for: 1h")),
    }
}

fn single(row: &Value, zone: &str) -> Result<Vec<Map<String, Value>>, String> {
    let zone = TimeZone::get(zone).map_err(|_unknown| format!("{zone} is no time zone"))?;
    let moment = |key: &str| -> Option<Timestamp> {
        let text = text(row, key)?.replace(' ', "T");
        let civil: Option<DateTime> = text.trim_end_matches('Z').parse().ok();
        Some(civil?.to_zoned(zone.clone()).ok()?.timestamp())
    };
    let (Some(from), Some(until)) = (moment("start_date"), moment("end_date")) else {
        return Err("it has no begin or no end".to_owned());
    };
    if until < Timestamp::now() {
        return Err("it is over".to_owned());
    }
    Ok(vec![Map::from_iter([
        ("from".to_owned(), from.to_string().into()),
        ("until".to_owned(), until.to_string().into()),
    ])])
}

/// `02:30` or `02:30:00`, in seconds of the day.
fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}
