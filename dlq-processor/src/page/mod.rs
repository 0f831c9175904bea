//! The page: what waits for somebody and why, server-rendered, whole without a script, fresh over live events with one.
//!
//! It shows and changes nothing: whoever does something has the command for it on the page. What it shows to whom is what the
//! API shows; payloads and the audit are for operators.

mod audit;
mod bars;
mod command;
mod events;
mod facts;
mod frame;
mod letter;
mod letters;
mod made;
mod moment;
mod overview;
mod payload;
mod plan;
mod plans;
mod query;
mod spoken;
mod why;
mod work;

use axum::Router;
use axum::routing::get;

use crate::api::Api;

pub(crate) use events::News;

/// What pages need.
#[derive(Clone)]
pub(crate) struct Pages {
    api: Api,
    news: News,
}

impl Pages {
    pub(crate) fn new(api: Api, news: News) -> Self {
        Self { api, news }
    }

    /// Returns the routes of the pages and of all that they refer to.
    pub(crate) fn routes(self) -> Router {
        let pages = Router::new()
            .route("/", get(overview::show))
            .route("/letters", get(letters::show))
            .route("/letters/{id}", get(letter::show))
            .route("/plans", get(plans::show))
            .route("/plans/{id}", get(plan::show))
            .route("/audit", get(audit::show))
            .with_state(self.clone());
        let events = Router::new().route("/api/v1/events", get(events::stream)).with_state(self);
        kit::page::with_assets(pages).merge(events)
    }
}
