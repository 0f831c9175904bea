//! What `INFO` says, as JSON (<https://redis.io/docs/latest/commands/info/>).

use serde_json::{Map, Value as Json};

/// Takes every `name:value`; numbers become numbers, `redis_version` is `version` too.
pub(super) fn parse_info(text: &str) -> Map<String, Json> {
    let mut facts = Map::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        facts.insert(name.to_owned(), typed(value));
        if name == "redis_version" {
            facts.insert("version".to_owned(), value.into());
        }
    }
    facts
}

/// A number is what a number would be written as: a run id of digits keeps its zeros.
fn typed(value: &str) -> Json {
    match (value.parse::<i64>(), value.parse::<f64>()) {
        (Ok(number), _) if number.to_string() == value => number.into(),
        (Err(_), Ok(number)) if value.bytes().all(|byte| b"0123456789.-".contains(&byte)) => number.into(),
        _ => value.into(),
    }
}

/// `master, 12 clients, 1.02M used`
pub(super) fn note(facts: &Map<String, Json>) -> Option<String> {
    let (role, clients) = (facts.get("role")?.as_str()?, facts.get("connected_clients")?.as_u64()?);
    let used = facts.get("used_memory_human").and_then(Json::as_str).unwrap_or("unknown memory");
    Some(format!("{role}, {clients} clients, {used} used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_names_and_numbers_are_numbers() {
        let text = "# Server\r\nredis_version:7.0.15\r\nredis_git_sha1:00000000\r\nrole:slave\r\nconnected_clients:3\r\n\
                    mem_fragmentation_ratio:1.50\r\nmaster_host:10.0.0.1\r\ndb0:keys=4,expires=0\r\nused_memory_human:1.02M\r\n";
        let facts = parse_info(text);
        let expected = serde_json::json!({
            "redis_version": "7.0.15", "version": "7.0.15", "redis_git_sha1": "00000000", "role": "slave",
            "connected_clients": 3, "mem_fragmentation_ratio": 1.5, "master_host": "10.0.0.1",
            "db0": "keys=4,expires=0", "used_memory_human": "1.02M",
        });
        assert_eq!(note(&facts).as_deref(), Some("slave, 3 clients, 1.02M used"));
        assert_eq!(Json::Object(facts), expected);
    }
}
