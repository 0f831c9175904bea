//! What a pass must show: typed fields for the usual, one CEL expression for the rest. Unknown keys are load-time
//! mistakes; a missing JSON path at run time is a fail that shows what was there.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use kit::config::{Cursor, show_duration};
use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;
use tokio::time::Instant;

use super::aside::aside;
use super::expr::Expression;
use super::json_path::JsonPath;
use super::kinds::Expectation;
use super::observation::{Facts, Outcome, Reason, ReasonCode};

/// Largest body that is parsed as JSON or given to `expr`, in bytes (DESIGN section 6).
pub(super) const MAX_JUDGED_BYTES: usize = 256 * 1024;

/// Longest version that is kept, in characters.
const MAX_VERSION_CHARS: usize = 100;

/// Compiled regular expressions may take this much memory, in bytes.
pub(super) const MAX_REGEX_BYTES: usize = 256 * 1024;

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Judged {
    /// Soft limits it broke.
    pub soft: Vec<Reason>,
    /// The version that the JSON answer named at its top.
    pub version: Option<String>,
}

/// Checked expectations of one check.
#[derive(Debug, Default)]
pub struct Expectations {
    status: Option<Vec<(u16, u16)>>,
    headers: Vec<(String, Regex, String)>,
    body_contains: Vec<String>,
    body_matches: Vec<Regex>,
    json: Vec<(JsonPath, Json)>,
    exit_code: Option<Vec<i32>>,
    max_latency: Option<Duration>,
    cert_valid_for: Option<Duration>,
    expression: Option<Expression>,
}

impl Expectations {
    /// Decodes the `expect:` mapping; `known` are the expectations that fit the check's kind.
    pub fn decode(cursor: Option<&Cursor<'_>>, known: &[Expectation]) -> Option<Self> {
        let Some(cursor) = cursor else { return Some(Self::default()) };
        let fields = cursor.fields()?;
        let mut expect = Self::default();
        let fits = |expectation| known.contains(&expectation);
        if fits(Expectation::Status) {
            expect.status = fields.get("status").map(|c| c.items().iter().filter_map(status_range).collect());
        }
        if fits(Expectation::Header) {
            for (name, value) in fields.get("header").and_then(|c| c.entries()).unwrap_or_default() {
                if let (Some(text), Some(regex)) = (value.text(), regex_of(&value)) {
                    expect.headers.push((name.to_ascii_lowercase(), regex, text));
                }
            }
        }
        if fits(Expectation::Body) {
            expect.body_contains = fields.get("body_contains").map(|c| c.texts()).unwrap_or_default();
            let patterns = fields.get("body_matches").map(|c| c.items()).unwrap_or_default();
            expect.body_matches = patterns.iter().filter_map(regex_of).collect();
        }
        if fits(Expectation::Json) {
            for (path, value) in fields.get("json").and_then(|c| c.entries()).unwrap_or_default() {
                match JsonPath::parse(path) {
                    Ok(path) => expect.json.push((path, value.node().to_json())),
                    Err(message) => value.mistake(message),
                }
            }
        }
        if fits(Expectation::ExitCode) {
            expect.exit_code =
                fields.get("exit_code").map(|c| c.items().iter().filter_map(|i| i.whole(0..=255)).collect());
        }
        if fits(Expectation::Certificate) {
            expect.cert_valid_for = fields.get("cert_valid_for").and_then(|c| c.duration(Duration::ZERO..=years(10)));
        }
        expect.max_latency =
            fields.get("max_latency").and_then(|c| c.duration(Duration::from_millis(1)..=Duration::from_secs(3600)));
        expect.expression = fields.get("expr").and_then(|c| Expression::decode(&c));
        fields.end();
        Some(expect)
    }

    /// Returns true if judging needs the body, so that kinds may leave it unread otherwise.
    pub fn needs_body(&self) -> bool {
        !self.body_contains.is_empty()
            || !self.body_matches.is_empty()
            || !self.json.is_empty()
            || self.expression.as_ref().is_some_and(Expression::reads_body)
    }

    /// Returns the soft limits that a pass broke, and the version that a JSON answer names.
    ///
    /// # Errors
    /// The fail (or, if we could not judge, the unknown) when a hard expectation is not met.
    pub async fn judge(&self, facts: Facts, took: Duration, deadline: Instant) -> Result<Judged, Outcome> {
        let look = || {
            self.judge_plain(&facts)?;
            self.judge_json(&facts)
        };
        let json = aside(facts.body.as_ref().map_or(0, Bytes::len), look).map_err(Outcome::Fail)?;
        let version = json.as_ref().and_then(|json| json.get("version")?.as_str());
        let version = version.map(|version| version.chars().take(MAX_VERSION_CHARS).collect());
        let mut soft = self.soft_limits(&facts, took, Timestamp::now())?;
        if let Some(expression) = &self.expression {
            expression.judge(&facts, json, took, deadline).await?;
        }
        soft.extend(facts.soft);
        Ok(Judged { soft, version })
    }

    fn judge_plain(&self, facts: &Facts) -> Result<(), Reason> {
        if let Some(status) = facts.status {
            let default = [(200, 299)];
            let ranges = self.status.as_deref().unwrap_or(&default);
            if !ranges.iter().any(|(low, high)| (*low..=*high).contains(&status)) {
                let text = format!("status {status}, expected {}", show_ranges(ranges));
                return Err(Reason::new(ReasonCode::Status, text));
            }
        }
        if let Some(code) = facts.exit_code {
            let expected = self.exit_code.as_deref().unwrap_or(&[0]);
            if !expected.contains(&code) {
                let said = facts.body.as_deref().map(excerpt).filter(|text| !text.is_empty());
                let said = said.map(|text| format!(": {text}")).unwrap_or_default();
                return Err(Reason::new(ReasonCode::Exit, format!("exited with code {code}{said}")));
            }
        }
        for (name, regex, expected) in &self.headers {
            let mut values =
                facts.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value).peekable();
            let shown = match values.peek() {
                Some(value) => format!("header {name} is {value:?}, expected {expected:?}"),
                None => format!("header {name} is missing, expected {expected:?}"),
            };
            if !values.any(|value| regex.is_match(value)) {
                return Err(Reason::new(ReasonCode::Header, shown));
            }
        }
        self.judge_body(facts)
    }

    fn judge_body(&self, facts: &Facts) -> Result<(), Reason> {
        if self.body_contains.is_empty() && self.body_matches.is_empty() {
            return Ok(());
        }
        let bytes = facts.body.as_deref().unwrap_or_default();
        let text = String::from_utf8_lossy(bytes);
        for wanted in &self.body_contains {
            if !text.contains(wanted) {
                return Err(Reason::new(
                    ReasonCode::Body,
                    format!("{wanted:?} is not in the answer: {}", excerpt(bytes)),
                ));
            }
        }
        for regex in &self.body_matches {
            if !regex.is_match(&text) {
                let text = format!("the answer does not match {:?}: {}", regex.as_str(), excerpt(bytes));
                return Err(Reason::new(ReasonCode::Body, text));
            }
        }
        Ok(())
    }

    /// Checks the `json:` paths and hands the parsed body on to `expr`.
    fn judge_json(&self, facts: &Facts) -> Result<Option<Json>, Reason> {
        if self.json.is_empty() && self.expression.is_none() {
            return Ok(None);
        }
        let bytes = facts.body.as_deref().unwrap_or_default();
        let parsed: Result<Json, String> = if bytes.len() > MAX_JUDGED_BYTES {
            Err(format!("the body is {} bytes, more than the {MAX_JUDGED_BYTES} that are judged", bytes.len()))
        } else {
            serde_json::from_slice(bytes).map_err(|error| format!("the body is not JSON ({error}): {}", excerpt(bytes)))
        };
        if self.json.is_empty() {
            return Ok(parsed.ok());
        }
        let parsed = parsed.map_err(|text| Reason::new(ReasonCode::Json, text))?;
        for (path, expected) in &self.json {
            let found = path.find(&parsed).map_err(|text| Reason::new(ReasonCode::Json, text))?;
            if !same_json(found, expected) {
                let text = format!("json {path} is {}, expected {expected}", shorten(&found.to_string()));
                return Err(Reason::new(ReasonCode::Json, text));
            }
        }
        Ok(Some(parsed))
    }

    fn soft_limits(&self, facts: &Facts, took: Duration, now: Timestamp) -> Result<Vec<Reason>, Outcome> {
        let mut soft = Vec::new();
        if let Some(limit) = self.max_latency.filter(|limit| took > *limit) {
            let text = format!("took {} ms, more than {}", took.as_millis(), show_duration(limit));
            soft.push(Reason::new(ReasonCode::Latency, text));
        }
        let Some(wanted) = self.cert_valid_for else { return Ok(soft) };
        let Some(expires) = facts.seen.cert_expires else {
            let text = "there is no certificate whose expiry could be checked; the connection is not TLS";
            return Err(Outcome::Fail(Reason::new(ReasonCode::Certificate, text)));
        };
        let left = expires.duration_since(now);
        let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
        if left < wanted {
            let text = format!("certificate expires in {}, less than {}", show_duration(left), show_duration(wanted));
            soft.push(Reason::new(ReasonCode::CertificateExpiry, text));
        }
        Ok(soft)
    }
}

fn years(count: u64) -> Duration {
    Duration::from_secs(count * 366 * 86_400)
}

fn regex_of(cursor: &Cursor<'_>) -> Option<Regex> {
    let pattern = cursor.text()?;
    match RegexBuilder::new(&pattern).size_limit(MAX_REGEX_BYTES).build() {
        Ok(regex) => Some(regex),
        Err(error) => {
            let first = error.to_string().lines().last().unwrap_or("it does not parse").trim().to_owned();
            cursor.mistake(format!("{} is not a regular expression: {first}", cursor.node().shown()));
            None
        }
    }
}

/// `200`, `2xx` or `200-204`.
fn status_range(cursor: &Cursor<'_>) -> Option<(u16, u16)> {
    let text = cursor.text()?;
    let class = text
        .strip_suffix("xx")
        .and_then(|digit| digit.parse::<u16>().ok())
        .filter(|class| (1..=5).contains(class))
        .map(|class| (class * 100, class * 100 + 99));
    let range =
        text.split_once('-').and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    let single = text.parse::<u16>().ok().map(|status| (status, status));
    match class.or(range).or(single) {
        Some((low, high)) if (100..=599).contains(&low) && (low..=599).contains(&high) => Some((low, high)),
        _ => {
            cursor.mistake(format!("{} is not an HTTP status; write 200, 2xx or 200-204", cursor.node().shown()));
            None
        }
    }
}

fn show_ranges(ranges: &[(u16, u16)]) -> String {
    let shown: Vec<String> = ranges
        .iter()
        .map(|(low, high)| match (low == high, low % 100 == 0 && *high == low + 99) {
            (true, _) => low.to_string(),
            (false, true) => format!("{}xx", low / 100),
            (false, false) => format!("{low}-{high}"),
        })
        .collect();
    shown.join(" or ")
}

/// First line of an answer as a message may show it.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let cut = bytes.get(..bytes.len().min(400)).unwrap_or_default();
    let text = String::from_utf8_lossy(cut);
    let line = text.trim().lines().next().unwrap_or_default();
    let printable: String = line.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
    shorten(&printable)
}

pub(super) fn shorten(text: &str) -> String {
    if text.chars().count() <= 120 { text.to_owned() } else { text.chars().take(120).chain(['…']).collect() }
}

/// Numbers compare by value (`1` is `1.0`), everything else exactly.
fn same_json(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => {
            left == right || matches!((left.as_f64(), right.as_f64()), (Some(a), Some(b)) if a == b)
        }
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_json(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same_json(value, other)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use kit::config::{Mistakes, Node};

    use super::*;

    const ALL: [Expectation; 6] = [
        Expectation::Status,
        Expectation::Header,
        Expectation::Body,
        Expectation::Json,
        Expectation::Certificate,
        Expectation::ExitCode,
    ];

    async fn judge(yaml: &str, facts: Facts) -> Result<Vec<String>, String> {
        let node = Node::parse("m.yml", yaml).unwrap();
        let mistakes = Mistakes::default();
        let expect = Expectations::decode(Some(&Cursor::top(&node, &mistakes)), &ALL);
        assert!(mistakes.is_empty(), "{:?}", mistakes.into_sorted());
        let deadline = Instant::now() + Duration::from_secs(10);
        match expect.unwrap().judge(facts, Duration::from_millis(150), deadline).await {
            Ok(judged) => Ok(judged.soft.into_iter().map(|reason| reason.text).collect()),
            Err(Outcome::Fail(reason) | Outcome::Unknown(reason)) => Err(reason.text),
            Err(Outcome::Pass) => panic!("a pass is not an error"),
        }
    }

    fn http(status: u16, body: &'static str) -> Facts {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Facts { status: Some(status), headers, body: Some(body.into()), ..Facts::default() }
    }

    #[tokio::test]
    async fn a_status_outside_the_expected_ones_is_a_fail_that_shows_both() {
        assert_eq!(judge("", http(204, "")).await, Ok(vec![]));
        assert_eq!(judge("", http(500, "")).await, Err("status 500, expected 2xx".to_owned()));
        assert_eq!(judge("status: [200, 3xx]", http(302, "")).await, Ok(vec![]));
        assert_eq!(judge("status: 201-203", http(404, "")).await, Err("status 404, expected 201-203".to_owned()));
    }

    #[tokio::test]
    async fn a_missing_json_path_is_a_fail_that_names_it_and_shows_what_was_there() {
        let body = r#"{"status":"degraded","db":{"up":true,"n":[1,2]}}"#;
        assert_eq!(judge("json: { status: degraded, db.up: true, 'db.n[1]': 2.0 }", http(200, body)).await, Ok(vec![]));
        assert_eq!(
            judge("json: { status: healthy }", http(200, body)).await,
            Err("json status is \"degraded\", expected \"healthy\"".to_owned())
        );
        assert_eq!(
            judge("json: { db.size: 0 }", http(200, body)).await,
            Err("json db.size is missing in {\"up\":true,\"n\":[1,2]}"
                .to_owned()
                .replace("{\"up\":true,\"n\":[1,2]}", "{\"n\":[1,2],\"up\":true}"))
        );
        let html = judge("json: { status: healthy }", http(200, "<html>")).await.unwrap_err();
        assert!(html.starts_with("the body is not JSON"), "{html}");
    }

    #[tokio::test]
    async fn headers_and_bodies_are_matched_and_shown() {
        assert_eq!(judge("header: { Content-Type: json }", http(200, "")).await, Ok(vec![]));
        assert_eq!(
            judge("header: { x-id: '.+' }", http(200, "")).await,
            Err("header x-id is missing, expected \".+\"".to_owned())
        );
        assert_eq!(
            judge("body_contains: pong", http(200, "ping\nmore")).await,
            Err("\"pong\" is not in the answer: ping".to_owned())
        );
        assert_eq!(
            judge("body_matches: '^p.ng$'", http(200, "king")).await,
            Err("the answer does not match \"^p.ng$\": king".to_owned())
        );
    }

    #[tokio::test]
    async fn slowness_and_near_expiry_degrade_but_do_not_fail() {
        assert_eq!(
            judge("max_latency: 100ms", http(200, "")).await,
            Ok(vec!["took 150 ms, more than 100ms".to_owned()])
        );
        let mut facts = http(200, "");
        facts.seen.cert_expires = Some(Timestamp::now() + jiff::SignedDuration::from_hours(30));
        let soft = judge("cert_valid_for: 14d", facts).await.unwrap();
        assert!(soft[0].starts_with("certificate expires in 1d5h"), "{soft:?}");
        assert!(judge("cert_valid_for: 14d", http(200, "")).await.unwrap_err().contains("no certificate"));
    }

    #[tokio::test]
    async fn an_unexpected_exit_code_shows_what_the_command_said() {
        let facts = Facts { exit_code: Some(2), body: Some("disk full\n".into()), ..Facts::default() };
        assert_eq!(judge("", facts.clone()).await, Err("exited with code 2: disk full".to_owned()));
        assert_eq!(judge("exit_code: [0, 2]", facts).await, Ok(vec![]));
    }
}
