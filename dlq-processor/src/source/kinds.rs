//! The kinds of sources that a configuration may name: here and nowhere else.

use std::sync::Arc;

use kit::config::{Cursor, Fields};
use kit::db;
use secrecy::{ExposeSecret, SecretString};

use super::Source;
use super::bullmq::{BullMq, DEAD_LETTER_QUEUE};
use super::jobs::Jobs;
use super::rabbitmq::{BackTo, RabbitMq, RabbitMqError};
use super::redis::{Lists, decode_lists};
use super::streams::{RedisStreams, decode_streams};

/// A kind of source.
pub(crate) struct Kind {
    /// Its name in a configuration.
    pub(crate) name: &'static str,
    /// Reads its keys, and makes a source that connects to nothing yet.
    pub(crate) decode: fn(&Fields<'_>) -> Option<Arc<dyn Source>>,
}

const KINDS: [Kind; 4] = [
    Kind { name: "bullmq", decode: bullmq },
    Kind { name: "jobs", decode: jobs },
    Kind { name: "rabbitmq", decode: rabbitmq },
    Kind { name: "redis_streams", decode: redis_streams },
];

/// Finds the kind of that name, or says which there are.
pub(crate) fn kind(name: &str, cursor: &Cursor<'_>) -> Option<&'static Kind> {
    const { &KINDS }.iter().find(|kind| kind.name == name).or_else(|| {
        let names = KINDS.map(|kind| kind.name).join(" or ");
        cursor.mistake(format!("there is no kind of source {name:?}; write {names}"));
        None
    })
}

fn bullmq(fields: &Fields<'_>) -> Option<Arc<dyn Source>> {
    let prefix = fields.get("prefix").and_then(|cursor| cursor.text()).unwrap_or_else(|| "bull".to_owned());
    let taken = fields.get("dead_letter_queues").map(|cursor| cursor.texts());
    let lists = fields.get("lists").map(|cursor| decode_lists(&cursor));
    let url = redis_url(fields)?;
    let taken = taken.unwrap_or_else(|| vec![DEAD_LETTER_QUEUE.to_owned()]);
    let lists = lists.map(|settings| Lists::new(&url, settings?).ok());
    Some(Arc::new(BullMq::new(&url, &prefix).ok()?.with_taken(taken).with_lists(lists.flatten())))
}

fn redis_streams(fields: &Fields<'_>) -> Option<Arc<dyn Source>> {
    let settings = decode_streams(fields);
    let lists = fields.get("lists").map(|cursor| decode_lists(&cursor));
    let url = redis_url(fields)?;
    let lists = lists.map(|settings| Lists::new(&url, settings?).ok());
    Some(Arc::new(RedisStreams::new(&url, settings?).ok()?.with_lists(lists.flatten())))
}

/// One that a client takes.
fn redis_url(fields: &Fields<'_>) -> Option<SecretString> {
    let url = address(fields, ("url", "url_file"), "redis://127.0.0.1:6379")?;
    if redis::Client::open(url.expose_secret()).is_err() {
        fields.cursor().mistake("\"url\" is not one of Redis; write it like redis://127.0.0.1:6379");
        return None;
    }
    Some(url)
}

fn jobs(fields: &Fields<'_>) -> Option<Arc<dyn Source>> {
    let url = address(fields, ("database", "database_file"), "sqlite:data/jobs.db")?;
    let database = db::Source::parse(url.expose_secret());
    let wrong = |instead| fields.cursor().mistake(format!("\"database\" is not a database; {instead}"));
    Some(Arc::new(Jobs::new(database.map_err(wrong).ok()?)))
}

fn rabbitmq(fields: &Fields<'_>) -> Option<Arc<dyn Source>> {
    let queues = fields.get("dead_letter_queues").map(|cursor| cursor.texts()).unwrap_or_default();
    let places = [("exchange", BackTo::Exchange), ("queue", BackTo::Queue)];
    let back_to = fields.get("back_to").and_then(|cursor| cursor.one_of(&places)).unwrap_or(BackTo::Exchange);
    let url = address(fields, ("url", "url_file"), "amqp://127.0.0.1:5672/%2f")?;
    let wrong = |error: RabbitMqError| fields.cursor().mistake(error.to_string());
    Some(Arc::new(RabbitMq::new(&url, &queues, back_to).map_err(wrong).ok()?))
}

/// A URL with a password in it is a secret; one without may stand in the file.
fn address(fields: &Fields<'_>, (key, file_key): (&'static str, &'static str), example: &str) -> Option<SecretString> {
    let is_plain = |url: &str| !url.contains('@') || url.starts_with("sqlite:");
    let written = fields.get(key).filter(|cursor| cursor.node().substituted.is_none());
    match written.as_ref().and_then(|cursor| cursor.text()).filter(|url| is_plain(url)) {
        Some(url) if fields.get(file_key).is_none() => Some(SecretString::from(url)),
        _ if fields.get(key).is_none() && fields.get(file_key).is_none() => {
            fields.cursor().mistake(format!("{key:?} is missing; write {key}: {example}, or {file_key}: PATH"));
            None
        }
        _ => fields.secret(key, file_key),
    }
}
