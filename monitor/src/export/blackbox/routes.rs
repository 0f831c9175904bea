//! The routes of blackbox_exporter. What it does not have is not found here either.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::{ConnectInfo, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use jiff::Timestamp;
use kit::http::{Place, Role};
use kit::metrics::Format;
use kit::page::with_assets;

use super::desk::Blackbox;
use super::history::Kept;
use super::query::Query;
use super::{page, render};
use crate::probe::blackbox::{probe, without_userinfo};

/// Returns every route.
pub fn router(blackbox: Arc<Blackbox>) -> Router {
    let routes = Router::new()
        .route("/", get(page::show))
        .route("/probe", any(ask))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/logs", get(logs))
        .route_layer(from_fn_with_state(blackbox.clone(), only_by_our_name))
        .route("/-/healthy", get(async || render::plain(StatusCode::OK, "Healthy")))
        .route("/-/reload", any(reload))
        .fallback(async || render::refusal(StatusCode::NOT_FOUND, "404 page not found"))
        .with_state(blackbox);
    with_assets(routes)
}

/// What listens to this machine only is asked by a name of ours: else a web page could read it by pointing its own name here.
async fn only_by_our_name(State(blackbox): State<Arc<Blackbox>>, request: Request, next: Next) -> Response {
    let listen = blackbox.settings().listen;
    if listen.ip().to_canonical().is_loopback() {
        let (place, headers) = (Place::new(Place::own_names(listen), &[], None, Vec::new()), request.headers());
        if let Err(why) = place.check_link(headers)
            && blackbox.reception.access().place.check_link(headers).is_err()
        {
            return render::refusal(StatusCode::FORBIDDEN, &format!("{why}; list other names in hosts"));
        }
    }
    next.run(request).await
}

/// A probe that failed is an answer like any other; who does not wait for it ends it.
async fn ask(State(blackbox): State<Arc<Blackbox>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let (settings, query) = (blackbox.settings(), Query::of(query.as_deref()));
    let (module, wish) = match query.resolve(&settings, &headers) {
        Ok(resolved) => resolved,
        Err(refused) => {
            blackbox.figures.unknown_modules.fetch_add(u64::from(refused.is_unknown), Relaxed);
            return render::refusal(refused.status, &refused.text);
        }
    };
    let Some(mut running) = blackbox.enter() else {
        let text = format!("{} probes run already (blackbox.at_once); ask again", settings.at_once);
        let mut response = render::refusal(StatusCode::SERVICE_UNAVAILABLE, &text);
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        return response;
    };
    let (at, target) = (Timestamp::now(), wish.target.clone());
    let probed = probe(module, wish, settings.targets.clone(), blackbox.shared.vantage.clone()).await;
    running.is_over = true;
    drop(running);
    let figures = &blackbox.figures;
    if let Some(text) = &probed.refused {
        figures.refused.fetch_add(1, Relaxed);
        return render::refusal(StatusCode::FORBIDDEN, text);
    }
    if probed.success { &figures.succeeded } else { &figures.failed }.fetch_add(1, Relaxed);
    if let Some((code, text)) = &probed.reason {
        tracing::debug!(
            probe.module = module.name,
            probe.target = %without_userinfo(&target),
            reason = code.as_str(),
            text,
            "a probe failed"
        );
    }
    let id = blackbox.history().number();
    let kept = Arc::new(Kept { id, module: module.clone(), target, at, probed });
    let response = if query.debug {
        render::plain(StatusCode::OK, render::debug(&kept))
    } else {
        render::metrics(&headers, render::gauges(&kept.probed.gauges))
    };
    blackbox.history().keep(kept, settings.history);
    response
}

async fn metrics(State(blackbox): State<Arc<Blackbox>>, headers: HeaderMap) -> Response {
    render::metrics(&headers, blackbox.metrics.encode(Format::Text))
}

async fn config(State(blackbox): State<Arc<Blackbox>>) -> Response {
    render::plain(StatusCode::OK, blackbox.settings().modules.shown())
}

async fn logs(State(blackbox): State<Arc<Blackbox>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::of(query.as_deref());
    let found = match (&query.id, &query.target) {
        (Some(_), Some(_)) => {
            return render::refusal(StatusCode::BAD_REQUEST, "Probe id and target can't be defined at the same time");
        }
        (None, None) => {
            return render::refusal(
                StatusCode::BAD_REQUEST,
                "Probe id or target must be defined as http query parameters",
            );
        }
        (Some(id), None) => {
            let Ok(id) = id.parse() else { return render::refusal(StatusCode::BAD_REQUEST, "Invalid probe id") };
            blackbox.history().find(id).ok_or("Probe id not found")
        }
        (None, Some(target)) => {
            blackbox.history().find_target(target, query.module.as_deref()).ok_or("Probe target not found")
        }
    };
    match found {
        Ok(kept) => render::plain(StatusCode::OK, render::debug(&kept)),
        Err(text) => render::refusal(StatusCode::NOT_FOUND, text),
    }
}

/// Has our whole configuration read again, and with it the modules.
async fn reload(
    State(blackbox): State<Arc<Blackbox>>,
    client: Option<Extension<ConnectInfo<SocketAddr>>>,
    method: axum::http::Method,
    headers: HeaderMap,
) -> Response {
    if method != axum::http::Method::POST && method != axum::http::Method::PUT {
        return render::refusal(StatusCode::METHOD_NOT_ALLOWED, "This endpoint requires a POST request.");
    }
    let peer = client.map(|Extension(ConnectInfo(address))| address);
    if let Err(why) = may_reload(&blackbox, peer, &headers) {
        return render::refusal(StatusCode::FORBIDDEN, &why);
    }
    match blackbox.shared.reload(false).await {
        Ok(_line) => render::plain(StatusCode::OK, "").into_response(),
        Err(mistakes) => {
            let text = format!("failed to reload config: {mistakes}");
            render::refusal(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
    }
}

/// A program of this machine may, as may who shows an operator's token; a web page or a proxy may not.
fn may_reload(blackbox: &Blackbox, peer: Option<SocketAddr>, headers: &HeaderMap) -> Result<(), String> {
    let place = Place::new(Place::own_names(blackbox.settings().listen), &[], None, Vec::new());
    let ip = peer.map(|peer| peer.ip());
    if ip.is_some_and(|ip| ip.to_canonical().is_loopback()) && place.check(headers, ip).is_ok() {
        return Ok(());
    }
    let access = blackbox.reception.access();
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token.and_then(|token| access.find(token)) {
        Some(who) if who.role.may(Role::Operator) => Ok(()),
        _ => Err("reloading needs an operator's token, or a request from this machine".to_owned()),
    }
}
