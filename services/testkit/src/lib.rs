//! Fake servers on loopback that misbehave in exactly one named way each, throw-away certificates, a Docker engine, a
//! proxy before it and a machine with systemd of one's own, and [`eventually()`].
//!
//! For tests only: nothing here is shipped, and what cannot be set up ends the test with a panic. [`Target`] is the
//! entry: every constructor binds port 0 of 127.0.0.1 and must be called inside a Tokio runtime.

mod answer;
mod certificates;
mod collector;
mod disk;
mod dns;
mod docker;
mod eventually;
mod gzip;
mod http;
mod http_faults;
mod installed;
mod loki;
mod memory;
mod message;
mod peer;
mod port;
mod postgres;
mod proxies;
mod rabbit;
mod raw_request;
mod redis;
mod routes;
mod scale;
mod server;
mod smtp;
mod socket_proxy;
mod systemd;
mod target;
mod tasks;
mod tls;
mod transport;
mod websocket;

pub use answer::Answer;
pub use certificates::{Authority, Certificate};
pub use collector::Collector;
pub use disk::Disk;
pub use dns::dns_answer;
pub use docker::DockerEngine;
pub use eventually::eventually;
pub use installed::{installed, serve_by_node};
pub use loki::Loki;
pub use memory::resident_kib;
pub use message::{Request, Response};
pub use port::free_port;
pub use postgres::Postgres;
pub use rabbit::Rabbit;
pub use redis::Redis;
pub use routes::routes;
pub use scale::{at_scale, seed};
pub use server::Server;
pub use smtp::{Mail, MailServer, Smtp};
pub use socket_proxy::SocketProxy;
pub use systemd::{DEBIAN, SystemdContainer};
pub use target::Target;
