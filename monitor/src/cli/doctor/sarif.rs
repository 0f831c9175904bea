//! Findings as SARIF 2.1.0 (OASIS, docs.oasis-open.org/sarif/sarif/v2.1.0), which code hosts show beside the lines.

use monitor::doctor::{Diagnosis, Finding, RuleText};
use serde_json::{Value, json};

/// The file of findings about what the monitor itself stands on.
const OWN: &str = "self";

/// Returns one log with one run.
pub(super) fn log(diagnosis: &Diagnosis, texts: &[RuleText]) -> String {
    let rules: Vec<Value> = texts.iter().map(rule).collect();
    let results: Vec<Value> = diagnosis.findings.iter().map(|finding| result(finding, texts)).collect();
    let notes: Vec<Value> =
        diagnosis.not_checked.iter().map(|what| json!({ "level": "note", "message": { "text": what } })).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "monitor doctor", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            // Ours are characters (section 3.14.27); without this they would be UTF-16 units.
            "columnKind": "unicodeCodePoints",
            "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": notes }],
            "results": results,
        }],
    });
    serde_json::to_string_pretty(&log).unwrap_or_default()
}

fn rule(text: &RuleText) -> Value {
    json!({
        "id": text.id,
        "shortDescription": { "text": text.title },
        "fullDescription": { "text": text.why },
        "help": { "text": format!("{}. {}", text.title, text.why) },
        "defaultConfiguration": { "level": text.severity.word() },
    })
}

fn result(finding: &Finding, texts: &[RuleText]) -> Value {
    let service = if finding.service.is_empty() { String::new() } else { format!("{}: ", finding.service) };
    let message = format!("{service}{}. {}\n{}", finding.message, finding.why, finding.fix);
    json!({
        "ruleId": finding.rule,
        "ruleIndex": texts.iter().position(|text| text.id == finding.rule),
        "level": finding.severity.word(),
        "message": { "text": message },
        "locations": [location(finding)],
        // It is the same finding when lines move (section 3.27.17).
        "partialFingerprints": { "monitorDoctor/v1": finding.id() },
    })
}

fn location(finding: &Finding) -> Value {
    let names = json!([{ "name": finding.service }]);
    // What is no file has a name alone (section 3.33).
    if finding.file == OWN {
        return json!({ "logicalLocations": [{ "name": OWN }] });
    }
    let mut physical = json!({ "artifactLocation": { "uri": uri(&finding.file) } });
    // Lines and columns begin at 1 (section 3.30): the whole file has no region.
    if finding.line > 0
        && let Some(physical) = physical.as_object_mut()
    {
        let region = json!({ "startLine": finding.line, "startColumn": finding.column.max(1) });
        physical.insert("region".to_owned(), region);
    }
    match finding.service.is_empty() {
        true => json!({ "physicalLocation": physical }),
        false => json!({ "physicalLocation": physical, "logicalLocations": names }),
    }
}

/// A relative path is a relative reference; of an absolute one `file://` is told (RFC 8089).
fn uri(file: &str) -> String {
    let path: String = file
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    if path.starts_with('/') { format!("file://{path}") } else { path.trim_start_matches("./").to_owned() }
}
