//! Kinds against the servers they are for, as Debian packages them. One that is missing fails its test.

mod amqp;
mod dns;
mod grpc;
mod icmp;
mod mqtt;
mod mysql;
mod nats;
mod ntp;
mod postgres;
mod prometheus;
mod python;
mod redis;
mod smtp;
mod snmp;
mod ssh;

use monitor::probe::{Observation, Outcome};
use testkit::eventually;
use tokio::net::TcpStream;

use crate::{PATIENT, ask};

/// Asks a server that takes one connection at a time, while others hold that one; returns the first answer that is no
/// pass.
async fn asked_until_full(port: u16, check: &str) -> Observation {
    let mut held = Vec::new();
    eventually("a refusal", PATIENT, async || {
        // The server may still count whoever left, and refuse this one instead.
        held.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let observation = ask(check).await;
        (observation.outcome != Outcome::Pass).then_some(observation)
    })
    .await
}
mod websocket;
