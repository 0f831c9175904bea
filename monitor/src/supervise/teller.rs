//! Tells the app what a watcher of a runtime saw, and once that it cannot see any more.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::message::Event;
use super::workload::Order;

/// The way from a watcher to the app.
#[derive(Debug)]
pub(super) struct Teller {
    events: mpsc::Sender<Event>,
    is_blind: bool,
    /// Whether everybody knows that nothing can be seen.
    is_told: bool,
}

impl Teller {
    /// Nothing was said yet of whether anything can be seen.
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, is_blind: false, is_told: false }
    }

    /// Tells news, in order. Nobody to tell means that the app is ending.
    pub(super) async fn tell(&self, news: Vec<Event>) {
        for event in news {
            let _ending = self.events.send(event).await;
        }
    }

    /// Tells that an order was not obeyed, and why.
    pub(super) async fn refused(&self, order: &Order, why: String) {
        let (service, command) = (order.service.to_string(), order.command);
        self.tell(vec![Event::Refused { service, command, why }]).await;
    }

    /// Tells once that none of these services can be seen any more.
    pub(super) async fn lost(&mut self, why: &str, services: impl Iterator<Item = &Arc<str>>) {
        self.is_blind = true;
        if !std::mem::replace(&mut self.is_told, true) {
            self.sight(Some(why), services).await;
        }
    }

    /// Tells that they can be seen again, if that was lost.
    pub(super) async fn found(&mut self, services: impl Iterator<Item = &Arc<str>>) {
        self.is_told = false;
        if std::mem::replace(&mut self.is_blind, false) {
            self.sight(None, services).await;
        }
    }

    /// Notes that there are services that do not know yet that they cannot be seen; the others are to hear when they can.
    pub(super) fn has_new_listeners(&mut self) {
        self.is_told = false;
    }

    async fn sight(&self, lost: Option<&str>, services: impl Iterator<Item = &Arc<str>>) {
        let sights =
            services.map(|service| Event::Sight { service: service.to_string(), lost: lost.map(str::to_owned) });
        self.tell(sights.collect()).await;
    }
}
