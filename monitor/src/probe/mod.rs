//! Asks one target one question, within a hard deadline, and never errs: whatever happens becomes an [`Observation`].
//!
//! A kind (`http`, `tcp`, …) is a value in [`Kinds`]; nothing else matches on kinds. A new kind costs its own file, one
//! fixture and its line in [`Kinds::standard`].

mod address;
mod amqp;
mod aside;
pub mod blackbox;
mod datagram;
mod detour;
mod dial;
mod dial_error;
mod dns;
mod domain;
mod endpoint;
mod exec;
mod expect;
mod expr;
mod file;
mod grpc;
mod handshake;
mod heartbeat;
mod host;
mod host_forecast;
mod host_processes;
mod host_read;
mod http;
mod icmp;
mod journey;
mod json_path;
mod kinds;
mod login;
mod mqtt;
mod mysql;
mod nats;
mod ntp;
mod observation;
mod postgres;
mod prometheus;
mod pushes;
mod qdrant;
mod question;
mod reader;
mod redis;
mod resolve;
mod run;
mod runner;
mod scheme;
mod smtp;
mod snmp;
mod sql;
mod ssh;
mod steps;
mod stream;
mod talk;
mod tcp;
mod tls;
mod tls_options;
mod tls_verify;
mod turn;
mod udp;
mod websocket;
mod wire;

pub use address::Address;
pub use detour::Detour;
pub use expect::Expectations;
pub use http::{Answer, Api, Call, Cookies};
pub use kinds::{Expectation, Kind, Kinds, LabelSettings, OwnAddress, Probe, Scope, Target};
pub use observation::{
    CheckId, Facts, Observation, Outcome, Phase, Reason, ReasonCode, Seen, StepSeen, StepState, Why,
};
pub use pushes::{Pushed, Pushes, Signal};
pub use question::decode_question;
pub use run::{Run, Vantage};
pub use runner::{Question, observe, observe_by};
pub use scheme::{Scheme, Takes};
pub(crate) use smtp::reply as smtp_reply;
pub use steps::Steps;
pub(crate) use tls_options::decode_roots;
