//! Kind `telegram`.

use testkit::Request;

use super::{Fixture, Receiver, Says, json, must, text};

pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "telegram",
        settings: |place| {
            format!("telegram: {{ base_url: '{}', bot_token: '${{SECRET}}', chat_id: -1001234 }}", place.url())
        },
        receiver: |reply| Receiver::http(reply, (200, r#"{"ok": true}"#), check),
        says: Says { resolved: "[RESOLVED]", drill: "[DRILL]" },
        can_be_busy: true,
    }
}

/// core.telegram.org/bots/api: "sendMessage", "HTML style".
fn check(request: &Request) -> Result<String, String> {
    let body = json(request, &format!("/bot{}/sendMessage", crate::SECRET))?;
    must(body["chat_id"] == "-1001234", "the chat")?;
    must(body["parse_mode"] == "HTML", "HTML")?;
    let plain = parse(text(&body["text"], 100_000)?)?;
    must(plain.encode_utf16().count() <= 4096, &format!("{} characters", plain.encode_utf16().count()))?;
    Ok(plain)
}

/// Takes the mark-up away as Telegram does: known tags only, each closed in order, known entities only.
fn parse(html: &str) -> Result<String, String> {
    let (mut plain, mut open, mut rest) = (String::new(), Vec::new(), html);
    while let Some(start) = rest.find(['<', '&']) {
        let (before, tail) = rest.split_at(start);
        plain.push_str(before);
        let end = tail.find(if tail.starts_with('<') { '>' } else { ';' }).ok_or("an open end")?;
        let (token, after) = (&tail[1..end], &tail[end + 1..]);
        rest = after;
        match token {
            "b" | "i" | "pre" => open.push(token),
            "amp" => plain.push('&'),
            "lt" => plain.push('<'),
            "gt" => plain.push('>'),
            "quot" => plain.push('"'),
            _ if token.starts_with("a href=\"https://") && token.ends_with('"') => open.push("a"),
            _ => {
                must(token.strip_prefix('/').is_some_and(|name| open.pop() == Some(name)), &format!("no tag {token}"))?
            }
        }
    }
    must(open.is_empty(), "every tag is closed")?;
    must(!rest.contains('>'), "unescaped")?;
    Ok(plain + rest)
}
