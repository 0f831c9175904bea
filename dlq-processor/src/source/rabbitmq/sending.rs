//! Publishes messages anew: one after the other, each until the broker has it for good.
//!
//! A connection of its own, since a broker that is short of memory or disk stops those that publish, and with them all that
//! goes over them (rabbitmq.com/docs/connection-blocked). It says so to whoever publishes, and takes no more of what they had
//! begun to say: so that this is no message of ours it is asked first.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Error, Event};
use tokio::time::timeout;
use uuid::Uuid;

use super::super::{Put, SourceError};
use super::anew::Anew;
use super::server::{Server, judged, refusal, short};

/// A channel on which the broker confirms.
pub(super) struct Sending {
    connection: Connection,
    channel: Channel,
    /// Whether it need not be asked whether it takes messages.
    is_asked: bool,
    /// Whether something may come yet that must not be taken for the answer to something else.
    is_spent: bool,
}

impl Sending {
    /// Connects, and asks whether messages are taken.
    async fn open(server: &Server) -> Result<Self, SourceError> {
        let connection = server.connect().await?;
        let channel = confirming(&connection).await.map_err(|error| judged(&error))?;
        Ok(Self { connection, channel, is_asked: false, is_spent: false })
    }

    /// Has it asked again before the next message.
    pub(super) fn doubt(&mut self) {
        self.is_asked = false;
    }

    fn is_open(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// Publishes what no queue takes and what need not come back: it is confirmed at once.
    async fn ask(&mut self) -> Result<(), SourceError> {
        let mut events = self.connection.events_listener();
        let nobody = short(&format!("nobody-{}", Uuid::now_v7().simple()));
        let (options, empty) = (BasicPublishOptions::default(), BasicProperties::default());
        let asking = async { self.channel.basic_publish(short(""), nobody, options, &[], empty).await?.await };
        let stopped = async { while !matches!(events.next().await, Some(Event::ConnectionBlocked(_)) | None) {} };
        let answer = tokio::select! {
            answer = asking => answer,
            () = stopped => {
                self.is_spent = true;
                return Err(blocked());
            }
        };
        match answer {
            Ok(_) => {}
            // Whoever may not publish there can only find out.
            Err(error) if refusal(&error).is_some() => {
                self.channel = confirming(&self.connection).await.map_err(|error| judged(&error))?;
            }
            Err(error) => return Err(judged(&error)),
        }
        self.is_asked = true;
        Ok(())
    }

    async fn publish(&self, Anew { exchange, routing_key, properties, body }: Anew) -> Result<Confirmation, Error> {
        // What no queue takes comes back (AMQP 0-9-1, `basic.return`).
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        self.channel.basic_publish(exchange, routing_key, options, &body, properties).await?.await
    }
}

/// Publishes one message, over a new connection if there is none. An error says that nothing was sent.
pub(super) async fn send(
    sending: &mut Option<Sending>,
    server: &Server,
    anew: Anew,
    deadline: Duration,
) -> Result<Put, SourceError> {
    let opened = timeout(deadline, opened(sending, server)).await.unwrap_or(Err(SourceError::Late(deadline)));
    let mut open = opened?;
    match timeout(deadline, open.publish(anew)).await {
        Ok(Ok(confirmation)) => {
            *sending = Some(open);
            Ok(put_of(&confirmation))
        }
        // One message was under way, and the broker says that it is the reason.
        Ok(Err(error)) if refusal(&error).is_some() => Ok(Put::Refused),
        Ok(Err(_)) => Ok(Put::Unsure),
        Err(_elapsed) => {
            open.is_spent = true;
            *sending = Some(open).filter(|open| open.connection.status().blocked());
            Ok(Put::Unsure)
        }
    }
}

/// Takes the connection out, or makes one; but one that is stopped stays until it goes on, since it could not be closed either.
async fn opened(sending: &mut Option<Sending>, server: &Server) -> Result<Sending, SourceError> {
    if sending.as_ref().is_some_and(|open| open.is_open() && open.connection.status().blocked()) {
        return Err(blocked());
    }
    let mut open = match sending.take().filter(|open| open.is_open() && !open.is_spent) {
        Some(open) => open,
        None => Sending::open(server).await?,
    };
    if !open.is_asked {
        let asked = open.ask().await;
        if open.is_spent {
            *sending = Some(open);
            return Err(blocked());
        }
        asked?;
    }
    Ok(open)
}

async fn confirming(connection: &Connection) -> Result<Channel, Error> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

fn blocked() -> SourceError {
    SourceError::Away("RabbitMQ takes no messages now: it is short of memory or disk".to_owned())
}

fn put_of(confirmation: &Confirmation) -> Put {
    match confirmation {
        Confirmation::Ack(None) => Put::Moved,
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Put::Refused,
        // A queue is full and takes no more (`overflow: reject-publish`), or a part of the broker is not there.
        Confirmation::Nack(None) => Put::Untaken,
        Confirmation::NotRequested => Put::Unsure,
    }
}
