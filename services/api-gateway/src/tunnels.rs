//! What outlives its request: WebSockets of the gateway, and those of services that it passes through.

use std::sync::Arc;

use axum::http::StatusCode;
use kit::http::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many there may be, of both kinds: each holds one or two of the 65,536 files that the unit may open.
const PLACES: usize = 2000;
/// How many of them may be of clients that have not said yet who they are.
const ENTERING: usize = 256;

/// Whose they are, when they end, and how many there may be. Cheap to clone: all threads share the places.
#[derive(Debug, Clone)]
pub(crate) struct Tunnels {
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
    places: Arc<Semaphore>,
    entering: Arc<Semaphore>,
}

impl Tunnels {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { tracker: TaskTracker::new(), stop, places: places(PLACES), entering: places(ENTERING) }
    }

    /// Takes a place for one more.
    ///
    /// # Errors
    /// 503 if there is none.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.places.clone().try_acquire_owned().map_err(|_all_taken| busy("too many WebSockets are open"))
    }

    /// Takes a place among those that have not said yet who they are.
    ///
    /// # Errors
    /// 503 if there is none.
    pub(crate) fn entrance(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.entering.clone().try_acquire_owned().map_err(|_all_taken| busy("too many are coming in"))
    }
}

fn busy(what: &str) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("{what}; try again soon")).code("busy")
}

#[cfg(test)]
mod tests {
    use kit::config::Environment;
    use kit::http::{Limits, serve};
    use kit::service::Settings as _;
    use testkit::Target;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::client_async;
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    use super::*;
    use crate::app::App;
    use crate::settings::Settings;

    #[tokio::test]
    async fn all_threads_share_so_many_places_and_whoever_finds_none_is_told() {
        let service = Target::respond_with(|request| {
            let key = request.header("sec-websocket-key").unwrap_or_default();
            let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            testkit::Response::new(101, "")
                .with_header("connection", "upgrade")
                .with_header("upgrade", "websocket")
                .with_header("sec-websocket-accept", &accept)
        });
        let environment = [("API_KEY", "k"), ("AIRTABLE_GATEWAY_URL", &service.url(""))];
        let stop = CancellationToken::new();
        let app = App::new(Settings::read(&Environment::of(environment)).unwrap(), stop.clone());
        let mut addresses = Vec::new();
        for _thread in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tokio::spawn(serve(listener, app.router(), Limits::default(), stop.clone()));
        }
        let open = async |path: &str| {
            let mut statuses = Vec::new();
            for address in &addresses {
                let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
                request.headers_mut().insert("x-api-key", "k".parse().unwrap());
                let stream = TcpStream::connect(address).await.unwrap();
                statuses.push(match client_async(request, stream).await {
                    Ok((_, response)) => response.status().as_u16(),
                    Err(Error::Http(response)) => response.status().as_u16(),
                    Err(other) => unreachable!("{other}"),
                });
            }
            statuses
        };
        let (own, passed) = ("/ws?session_id=s", "/api/airtable/live");
        let taken = app.tunnels.places.clone().acquire_many_owned(PLACES.try_into().unwrap()).await.unwrap();
        assert_eq!((open(own).await, open(passed).await), (vec![503, 503], vec![503, 503]));
        drop(taken);
        assert_eq!((open(own).await, open(passed).await), (vec![101, 101], vec![101, 101]));
        let entering = app.tunnels.entering.clone();
        let _taken = entering.acquire_many_owned(ENTERING.try_into().unwrap()).await.unwrap();
        assert_eq!((open(own).await, open(passed).await), (vec![503, 503], vec![101, 101]));
    }
}
