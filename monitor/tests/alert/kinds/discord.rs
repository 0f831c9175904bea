//! Kind `discord`.

use serde_json::json as value;
use testkit::Request;

use super::{Fixture, Receiver, Says, json, must, text};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "discord",
        settings: |place| format!("discord: {{ url: '{}/api/webhooks/1/${{SECRET}}' }}", place.url()),
        receiver: |reply| Receiver::http(reply, (200, r#"{"id": "1"}"#), check),
        says: Says { resolved: "[RESOLVED]", drill: "[DRILL]" },
        can_be_busy: true,
    }
}

/// discord.com/developers/docs/resources/message, "Embed Limits".
fn check(request: &Request) -> Result<String, String> {
    let body = json(request, &format!("/api/webhooks/1/{}?wait=true", crate::SECRET))?;
    must(body["allowed_mentions"] == value!({ "parse": [] }), "nobody is called")?;
    must(body["embeds"].as_array().is_some_and(|embeds| embeds.len() == 1), "one embed")?;
    let embed = &body["embeds"][0];
    must(embed["color"].as_u64().is_some_and(|colour| colour <= 0xff_ffff), "a colour")?;
    let mut read = vec![text(&embed["title"], 256)?.to_owned(), text(&embed["description"], 4096)?.to_owned()];
    let fields = embed["fields"].as_array().cloned().unwrap_or_default();
    must(fields.len() <= 25, "at most 25 fields")?;
    for field in &fields {
        read.push(text(&field["name"], 256)?.to_owned());
        read.push(text(&field["value"], 1024)?.to_owned());
    }
    let all: usize = read.iter().map(|text| text.chars().count()).sum();
    must(all <= 6000, &format!("{all} characters in all"))?;
    must(!read.join("\n").contains("[x](javascript"), "no link of theirs")?;
    Ok(read.join("\n").replace('\\', ""))
}
