//! The real binary beside a real BullMQ, job tables, streams and a real RabbitMQ: what it takes in, what it redrives, and what
//! kill -9 leaves behind.

mod alerts;
mod asked;
mod broker;
mod canaries;
mod carried;
mod depths;
mod edited;
mod given_up;
mod killed;
mod lists;
pub(crate) mod machine;
mod modes;
mod odd;
mod planned;
mod policy;
mod reconciled;
mod redis;
mod remains;
mod replicas;
mod searched;
mod soaked;
mod spans;
mod storm;
mod streams;
mod tables;
mod told;
mod unmade;
mod valkey;
