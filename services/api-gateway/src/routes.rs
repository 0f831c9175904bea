//! The table as routes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, any, on};
use kit::http::{ApiError, bearer, not_found};
use percent_encoding::percent_decode;

use crate::chat::OF_USERS;
use crate::figures::Figures;
use crate::forward::{Forward, Road};
use crate::gate::{Gate, Gatehouse, pass};
use crate::path::translated;
use crate::settings::Settings;
use crate::table::{Guard, ROWS, Row, Service};
use crate::tunnels::Tunnels;
use crate::upstream::Upstream;
use crate::ws::Hub;

/// What there is for each service.
struct Each<T> {
    airtable: T,
    mcp: T,
    llm: T,
    platform: T,
    automation: T,
}

impl<T> Each<T> {
    fn of(&self, service: Service) -> &T {
        match service {
            Service::Airtable => &self.airtable,
            Service::Mcp => &self.mcp,
            Service::Llm => &self.llm,
            Service::Platform => &self.platform,
            Service::Automation => &self.automation,
        }
    }

    fn map<U>(&self, make: impl Fn(&T) -> U) -> Each<U> {
        Each {
            airtable: make(&self.airtable),
            mcp: make(&self.mcp),
            llm: make(&self.llm),
            platform: make(&self.platform),
            automation: make(&self.automation),
        }
    }
}

/// All services, and who is let through to them, as all threads know them.
pub(crate) struct Roads {
    each: Each<Arc<Road>>,
    house: Arc<Gatehouse>,
    /// Who is told what goes on.
    pub(crate) hub: Arc<Hub>,
}

impl Roads {
    pub(crate) fn new(
        settings: &Settings,
        house: Gatehouse,
        hub: Arc<Hub>,
        figures: &Figures,
        tunnels: &Tunnels,
    ) -> Self {
        let road = |upstream: &Upstream, key| {
            let timeout = settings.timeout_of(upstream);
            Arc::new(Road::new(upstream.clone(), key, timeout, figures.clone(), tunnels.clone()))
        };
        let each = Each {
            airtable: road(&settings.airtable_gateway, &settings.airtable_gateway_api_key),
            mcp: road(&settings.mcp_server, &settings.api_key),
            llm: road(&settings.llm_orchestrator, &settings.api_key),
            platform: road(&settings.platform_services, &settings.api_key),
            automation: road(&settings.automation_services, &settings.api_key),
        };
        Self { each, house: Arc::new(house), hub }
    }
}

/// The ways of one thread.
pub(crate) struct Ways {
    each: Each<Forward>,
    pub(crate) house: Arc<Gatehouse>,
    /// Who is told what goes on.
    pub(crate) hub: Arc<Hub>,
}

impl Ways {
    pub(crate) fn new(roads: &Roads) -> Self {
        let each = roads.each.map(|road| Forward::new(road.clone()));
        Self { each, house: roads.house.clone(), hub: roads.hub.clone() }
    }

    pub(crate) fn to(&self, service: Service) -> &Forward {
        self.each.of(service)
    }

    /// Puts a gate with `guard` before a route.
    pub(crate) fn guarded(&self, guard: Guard, route: MethodRouter) -> MethodRouter {
        let gate = Gate { house: self.house.clone(), guard };
        route.layer(from_fn_with_state(gate, pass))
    }
}

/// Returns every route of the table.
pub(crate) fn routes(ways: &Arc<Ways>) -> Router {
    let paths: BTreeSet<&str> = ROWS.iter().map(|row| row.path).collect();
    paths.into_iter().fold(Router::new(), |router, path| {
        let rows = ROWS.into_iter().filter(|row| row.path == path);
        let is_any = rows.clone().any(|row| row.methods().is_none());
        let route = rows.fold(MethodRouter::new(), |route, row| {
            let state = (ways.clone(), row);
            let handler = match row.methods() {
                Some(methods) => on(methods, hand_on).with_state(state),
                None => any(hand_on).with_state(state),
            };
            route.merge(ways.guarded(row.guard, handler))
        });
        // A method that is not in the table is like a path that is not.
        router.route(path, if is_any { route } else { route.fallback(not_found) })
    })
}

async fn hand_on(State((ways, row)): State<(Arc<Ways>, Row)>, request: Request) -> Result<Response, ApiError> {
    // TRACE would send our own key back to the client (RFC 9110 section 9.3.8); CONNECT asks for a tunnel.
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        let message = format!("{} is not allowed here", request.method());
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message).code("method_not_allowed"));
    }
    let Some(path) = translated(row.path, request.uri().path(), row.target) else {
        let message = "the path must not leave its place: no \"..\", no empty start, no control characters";
        return Err(ApiError::bad_request(message).code("invalid_path").path(request.uri().path()));
    };
    if row.is_of_services && names_a_users(&path) {
        return Err(ApiError::forbidden("the session is a user's"));
    }
    let path_and_query = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    // Whatever is done there with a token may end its session.
    let token = (row.service == Service::Platform && !request.method().is_safe())
        .then(|| bearer(request.headers()).map(str::to_owned))
        .flatten();
    let mut response = ways.to(row.service).send(&path_and_query, request, row.body_limit).await?;
    if let Some(token) = token {
        ways.house.users.forget(&token).await;
    }
    let status = response.status().as_u16();
    let expected = row.statuses.iter().find(|(from, _)| *from == status).map_or(status, |(_, to)| *to);
    *response.status_mut() = StatusCode::from_u16(expected).unwrap_or(response.status());
    Ok(response)
}

/// Sessions of users are theirs alone, however their names are written.
fn names_a_users(path: &str) -> bool {
    let decoded = Cow::from(percent_decode(path.as_bytes()));
    decoded.split(|byte| *byte == b'/').any(|part| part.starts_with(OF_USERS.as_bytes()))
}
