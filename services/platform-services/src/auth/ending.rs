//! What a request does to its end, also if its client hangs up: what is changed is told, too.

use std::sync::Arc;

use kit::http::ApiError;
use tracing::Instrument as _;

use super::routes::Auth;
use crate::problem::Problem;

/// Does something in a task of its own.
///
/// # Cancel safety
/// The work goes on when this is dropped; [`Auth::ended`] waits for it.
pub(super) async fn to_the_end<T, F>(auth: &Arc<Auth>, work: impl FnOnce(Arc<Auth>) -> F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    let done = auth.endings.spawn(work(auth.clone()).in_current_span()).await;
    Ok(done.map_err(|gone| ApiError::internal(&gone))??)
}

impl Auth {
    /// Waits for what goes on without its client, once there are no more requests.
    pub(crate) async fn ended(&self) {
        self.endings.close();
        self.endings.wait().await;
    }
}
