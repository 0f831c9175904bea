//! The way to a broker.

use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Error, ErrorKind};
use secrecy::{ExposeSecret, SecretString};

use super::super::SourceError;

/// Between two signs of life: a connection that is open on one side only ends after twice that.
const HEARTBEAT_SECS: u16 = 10;
/// Longest name of a queue or vhost, in bytes (AMQP 0-9-1, section 4.2.5.3).
pub(super) const MAX_NAME_BYTES: usize = 255;

/// A broker, and a vhost of it.
pub(super) struct Server {
    uri: AMQPUri,
}

impl Server {
    /// Connects to nothing yet. None if the URL is not one of a broker with a vhost.
    pub(super) fn new(url: &SecretString, deadline: Duration) -> Option<Self> {
        let mut uri: AMQPUri = url.expose_secret().parse().ok()?;
        // An address of IPv6 would be read as `localhost`.
        let is_usable = !url.expose_secret().contains("://[") && !url.expose_secret().contains("@[");
        if !is_usable || uri.vhost.is_empty() || uri.vhost.len() > MAX_NAME_BYTES {
            return None;
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECS);
        uri.query.connection_timeout.get_or_insert(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
        Some(Self { uri })
    }

    /// Makes a connection, which ends when all that was made of it is dropped.
    pub(super) async fn connect(&self) -> Result<Connection, SourceError> {
        let named = ConnectionProperties::default().with_connection_name("dlq-processor".into());
        Connection::connect_uri(self.uri.clone(), named).await.map_err(|error| judged(&error))
    }
}

/// How many messages of a queue nobody holds. An answer says also that all that the channel was asked before is done.
pub(super) async fn ready(channel: &Channel, queue: &str) -> Result<u32, Error> {
    let passive = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    Ok(channel.queue_declare(short(queue), passive, FieldTable::default()).await?.message_count())
}

/// A name that was checked before.
pub(super) fn short(name: &str) -> ShortString {
    ShortString::try_new(name).unwrap_or_default()
}

/// Returns why a broker closed a channel, if it did because of what it was asked there.
pub(super) fn refusal(error: &Error) -> Option<&AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(why) => Some(why),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

pub(super) fn judged(error: &Error) -> SourceError {
    SourceError::Away(format!("RabbitMQ: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_broker_and_a_vhost() {
        let server = |url: &str| Server::new(&SecretString::from(url), Duration::from_secs(5)).map(|server| server.uri);
        let uri = server("amqp://shop:hunter2@127.0.0.1/%2f").unwrap();
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat, uri.authority.port), ("/", Some(10), 5672));
        assert_eq!(server("amqps://broker/shop?heartbeat=30").unwrap().query.heartbeat, Some(30));
        for url in ["http://broker/%2f", "amqp://broker/", "amqp://[::1]/%2f", "amqp://a:b@[::1]/%2f", "broker", ""] {
            assert!(server(url).is_none(), "{url}");
        }
    }
}
