//! Kinds against the servers they are for, as Debian packages them. One that is missing fails its test.

mod mqtt;
mod nats;
mod postgres;
mod redis;
mod smtp;
mod ssh;
