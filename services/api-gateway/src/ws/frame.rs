//! The frames of `/ws`, as clients know them. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kit::trace::Context;
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

/// The words for what a client sends.
const KINDS: [&str; 4] = ["auth", "ping", "subscribe", "unsubscribe"];

/// A client's frame.
#[derive(Debug)]
pub(super) struct Heard {
    /// What it says, or the error frame to answer with.
    pub(super) said: Result<Said, Value>,
    /// Which of [`KINDS`] it is, if any.
    pub(super) kind: &'static str,
    /// The span of the client that it belongs to, if it names one.
    pub(super) asked_by: Option<Context>,
}

/// Reads a client's frame.
pub(super) fn read(text: &str, session: &str) -> Heard {
    let json: Value = match serde_json::from_str(text) {
        Ok(json) => json,
        Err(_) => {
            let said = Err(error(session, "invalid_json", "the frame is not JSON"));
            return Heard { said, kind: "unknown", asked_by: None };
        }
    };
    let word = |name: &str| json.get(name).and_then(Value::as_str);
    let kind = KINDS.into_iter().find(|kind| word("type") == Some(kind));
    let asked_by = word("traceparent").and_then(Context::parse);
    let said = match kind {
        Some(_) => serde_json::from_value(json).map_err(|_| {
            let names = Topic::ALL.map(|topic| json!(topic).as_str().unwrap_or_default().to_owned()).join(", ");
            error(session, "invalid_message", &format!("types is a list of some of {names}"))
        }),
        None => Err(error(session, "unknown_message_type", &format!("type is one of {}", KINDS.join(", ")))),
    };
    Heard { said, kind: kind.unwrap_or("unknown"), asked_by }
}

/// Makes a frame of the server's.
pub(super) fn frame(kind: impl Serialize, session: &str, data: &Value) -> Value {
    let timestamp = Timestamp::now().to_string();
    json!({ "type": kind, "timestamp": timestamp, "session_id": session, "data": data })
}

/// Makes an error frame.
pub(super) fn error(session: &str, code: &str, message: &str) -> Value {
    frame(Topic::Error, session, &json!({ "error_code": code, "message": message }))
}

/// Writes a frame that stems from a request or a client's frame whose span is `asked_by`.
pub(super) fn write(mut frame: Value, asked_by: Option<&Context>) -> String {
    if let (Some(fields), Some(asked_by)) = (frame.as_object_mut(), asked_by) {
        fields.insert("traceparent".to_owned(), asked_by.traceparent().into());
    }
    frame.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_by_its_code() {
        let code = |text: &str| {
            let answer = read(text, "s").said.unwrap_err();
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
        assert!(matches!(read(r#"{"type": "ping", "more": 1}"#, "s").said, Ok(Said::Ping)));
        let topics = read(r#"{"type": "subscribe", "types": ["chat_stream", "system_status"]}"#, "s");
        assert!(matches!(topics.said, Ok(Said::Subscribe { types }) if types.len() == 2));
    }

    #[test]
    fn a_frame_names_the_span_that_it_belongs_to_and_nonsense_is_none() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let heard = read(&json!({ "type": "ping", "traceparent": parent }).to_string(), "s");
        assert_eq!((heard.kind, heard.asked_by.as_ref().map(Context::traceparent)), ("ping", Some(parent.to_owned())));
        let written: Value = serde_json::from_str(&write(json!({}), heard.asked_by.as_ref())).unwrap();
        assert_eq!(written, json!({ "traceparent": parent }));
        for nonsense in [json!("nonsense"), json!(7), Value::Null] {
            assert_eq!(read(&json!({ "type": "shout", "traceparent": nonsense }).to_string(), "s").asked_by, None);
        }
        assert_eq!(write(json!({}), None), "{}");
    }
}
