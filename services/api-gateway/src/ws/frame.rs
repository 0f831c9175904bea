//! The frames of `/ws`, as clients know them. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the server tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Topic {
    ChatStream,
    ToolProgress,
    CostUpdate,
    Error,
    SystemStatus,
}

impl Topic {
    pub(super) const ALL: [Self; 5] =
        [Self::ChatStream, Self::ToolProgress, Self::CostUpdate, Self::Error, Self::SystemStatus];

    /// What is kept rather than others, while nobody listens: the higher the longer.
    pub(super) fn priority(self) -> u8 {
        match self {
            Self::SystemStatus => 10,
            Self::Error => 9,
            Self::CostUpdate => 8,
            Self::ToolProgress => 7,
            Self::ChatStream => 5,
        }
    }
}

/// What a client sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    /// First of all.
    Auth {
        #[serde(default)]
        api_key: Option<SecretString>,
        /// A user's access token, instead of a key.
        #[serde(default)]
        token: Option<SecretString>,
        #[serde(default)]
        session_id: Option<String>,
    },
    Ping,
    Subscribe {
        types: BTreeSet<Topic>,
    },
    Unsubscribe {
        types: BTreeSet<Topic>,
    },
}

/// Reads a client's frame.
///
/// # Errors
/// The error frame to answer with.
pub(super) fn read(text: &str, session: &str) -> Result<Said, String> {
    let json: Value =
        serde_json::from_str(text).map_err(|_| error(session, "invalid_json", "the frame is not JSON"))?;
    let known = ["auth", "ping", "subscribe", "unsubscribe"];
    match json.get("type").and_then(Value::as_str) {
        Some(kind) if known.contains(&kind) => serde_json::from_value(json).map_err(|_| {
            let names = Topic::ALL.map(|topic| json!(topic).as_str().unwrap_or_default().to_owned()).join(", ");
            error(session, "invalid_message", &format!("types is a list of some of {names}"))
        }),
        _ => {
            let text = format!("type is one of {}", known.join(", "));
            Err(error(session, "unknown_message_type", &text))
        }
    }
}

/// Writes a frame of the server's.
pub(super) fn frame(kind: impl Serialize, session: &str, data: &Value) -> String {
    let timestamp = Timestamp::now().to_string();
    json!({ "type": kind, "timestamp": timestamp, "session_id": session, "data": data }).to_string()
}

/// Writes an error frame.
pub(super) fn error(session: &str, code: &str, message: &str) -> String {
    frame(Topic::Error, session, &json!({ "error_code": code, "message": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_by_its_code() {
        let code = |text: &str| {
            let answer: Value = serde_json::from_str(&read(text, "s").unwrap_err()).unwrap();
            assert_eq!((&answer["type"], &answer["session_id"]), (&json!("error"), &json!("s")));
            answer["data"]["error_code"].as_str().unwrap().to_owned()
        };
        for text in ["", "{", "hello"] {
            assert_eq!(code(text), "invalid_json", "{text}");
        }
        for text in ["{}", "[]", "7", r#"{"type": "shout"}"#, r#"{"type": 7}"#] {
            assert_eq!(code(text), "unknown_message_type", "{text}");
        }
        for text in [r#"{"type": "subscribe"}"#, r#"{"type": "subscribe", "types": ["shout"]}"#] {
            assert_eq!(code(text), "invalid_message", "{text}");
        }
        assert!(matches!(read(r#"{"type": "ping", "more": 1}"#, "s"), Ok(Said::Ping)));
        let topics = read(r#"{"type": "subscribe", "types": ["chat_stream", "system_status"]}"#, "s");
        assert!(matches!(topics, Ok(Said::Subscribe { types }) if types.len() == 2));
    }
}
