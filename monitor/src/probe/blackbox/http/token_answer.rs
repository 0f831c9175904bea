//! What a token endpoint answers (RFC 6749 sections 5.1 and 5.2), read as golang.org/x/oauth2 reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use secrecy::SecretString;
use url::form_urlencoded::parse;

use crate::probe::expect::excerpt;
use crate::probe::observation::{Outcome, ReasonCode};

/// Longest that a token is kept, as golang.org/x/oauth2 reads `expires_in`: in seconds, 68 years.
const MAX_EXPIRY_SECS: u64 = i32::MAX as u64;

/// A token that was granted.
pub(super) struct Granted {
    /// As requests carry it.
    pub(super) header: HeaderValue,
    pub(super) secret: SecretString,
    /// None if the endpoint does not say.
    pub(super) expires_in: Option<Duration>,
}

/// What an endpoint answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Reads the token. What is no error by RFC 6749 section 5.2 is not quoted: it may hold a token.
    pub(super) fn read(&self) -> Result<Granted, Outcome> {
        let fields = self.fields();
        let find = |name: &str| fields.as_ref().and_then(|fields| fields.get(name)).filter(|text| !text.is_empty());
        if !self.status.is_success() || find("error").is_some() {
            let why = find("error").map(|error| match find("error_description") {
                Some(description) => format!(", {} ({})", excerpt(error.as_bytes()), excerpt(description.as_bytes())),
                None => format!(", {}", excerpt(error.as_bytes())),
            });
            let text = format!("status {}{}", self.status.as_u16(), why.unwrap_or_default());
            // RFC 6749 section 5.2: 400 and 401 are what refusals have; some send 200 or 403.
            let is_refusal = find("error").is_some() || matches!(self.status.as_u16(), 400 | 401 | 403);
            return Err(Outcome::fail(if is_refusal { ReasonCode::Auth } else { ReasonCode::Status }, text));
        }
        let wrong = |text: &str| Outcome::fail(ReasonCode::Protocol, text);
        if fields.is_none() {
            return Err(wrong("the answer is neither JSON nor a form"));
        }
        let token = find("access_token").ok_or_else(|| wrong("there is no access_token in the answer"))?;
        let kind = find("token_type").map_or("Bearer", |kind| match kind.to_ascii_lowercase().as_str() {
            "bearer" => "Bearer",
            "mac" => "MAC",
            "basic" => "Basic",
            _ => kind,
        });
        let mut header = HeaderValue::from_str(&format!("{kind} {token}"))
            .map_err(|_| wrong("the access_token holds characters that a header cannot carry"))?;
        header.set_sensitive(true);
        let secs = find("expires_in").and_then(|secs| secs.parse::<u64>().ok()).filter(|secs| *secs > 0);
        let expires_in = secs.map(|secs| Duration::from_secs(secs.min(MAX_EXPIRY_SECS)));
        Ok(Granted { header, secret: token.clone().into(), expires_in })
    }

    /// Forms are read where they are said to be one (some endpoints answer so); none if it is neither.
    fn fields(&self) -> Option<BTreeMap<String, String>> {
        let kind = self.kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if matches!(kind.as_str(), "application/x-www-form-urlencoded" | "text/plain") {
            return Some(parse(&self.body).into_owned().collect());
        }
        let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&self.body).ok()?;
        let texts = read.into_iter().filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some((name, text)),
            serde_json::Value::Number(number) if name == "expires_in" => Some((name, number.to_string())),
            _ => None,
        });
        Some(texts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, kind: &str, body: &str) -> Result<(String, Option<u64>), String> {
        let status = StatusCode::from_u16(status).unwrap();
        match (Answer { status, kind: kind.to_owned(), body: body.into() }).read() {
            Ok(granted) => {
                Ok((granted.header.to_str().unwrap().to_owned(), granted.expires_in.map(|lasts| lasts.as_secs())))
            }
            Err(Outcome::Fail(reason)) => Err(format!("{}: {}", reason.code.as_str(), reason.text)),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_is_read_as_endpoints_write_it() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        for (kind, body, header, secs) in [
            (
                "application/json",
                r#"{"access_token":"t1","token_type":"bearer","expires_in":3600}"#,
                "Bearer t1",
                Some(3600),
            ),
            ("", r#"{"access_token":"t1","expires_in":"60","scope":"a"}"#, "Bearer t1", Some(60)),
            ("", r#"{"access_token":"t1","token_type":"DPoP","expires_in":0}"#, "DPoP t1", None),
            ("", r#"{"access_token":"t1","expires_in":99999999999}"#, "Bearer t1", Some(MAX_EXPIRY_SECS)),
            (form, "access_token=t%2B1&token_type=BEARER&expires_in=5", "Bearer t+1", Some(5)),
        ] {
            assert_eq!(read(200, kind, body), Ok((header.to_owned(), secs)), "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_told_without_being_shown() {
        let (json, text) = ("application/json", "text/html");
        for (status, kind, body, expected) in [
            (401, json, r#"{"error":"invalid_client"}"#, "auth: status 401, invalid_client"),
            (400, json, r#"{"error":"a","error_description":"b"}"#, "auth: status 400, a (b)"),
            (200, json, r#"{"error":"a","access_token":"t"}"#, "auth: status 200, a"),
            (403, text, "<html>t</html>", "auth: status 403"),
            (503, text, "t", "status: status 503"),
            (302, text, "", "status: status 302"),
            (200, text, "t", "protocol: the answer is neither JSON nor a form"),
            (200, json, "[1]", "protocol: the answer is neither JSON nor a form"),
            (200, json, "{}", "protocol: there is no access_token in the answer"),
            (200, json, r#"{"access_token":7.5e1,"x":"t"}"#, "protocol: there is no access_token in the answer"),
            (
                200,
                json,
                "{\"access_token\":\"t\\n1\"}",
                "protocol: the access_token holds characters that a header cannot carry",
            ),
        ] {
            assert_eq!(read(status, kind, body), Err(expected.to_owned()), "{body}");
        }
    }
}
