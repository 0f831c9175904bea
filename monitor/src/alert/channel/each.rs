//! For services that know single alerts only: one request for each alert of a message.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::Full;

use super::post::{Poster, judge};
use super::{Accepted, SendError};
use crate::alert::message::{AlertPart, Message};

/// Requests under way at once: a digest of a hundred must pass within one deadline.
const AT_ONCE: usize = 8;

/// Sends what `request` makes of each alert.
///
/// # Errors
/// What is worth another try is tried again as a whole: the requests carry the incident's id, so that a repeat changes
/// nothing. [`SendError::Refused`] if every alert was refused; if only some were, `partly` names them.
pub(super) async fn each(
    poster: &Poster,
    message: &Message,
    request: impl Fn(&AlertPart) -> Result<Request<Full<Bytes>>, SendError>,
) -> Result<Accepted, SendError> {
    let session = poster.session();
    let requests: Vec<_> = message.alerts.iter().map(|part| (part.incident, request(part))).collect();
    let asking = requests.into_iter().map(|(incident, request)| {
        let session = &session;
        async move { (incident, async { judge(&session.ask(request?).await?) }.await) }
    });
    let mut answers = stream::iter(asking).buffer_unordered(AT_ONCE);
    let (mut accepted, mut refused) = (None, Vec::new());
    while let Some((incident, answer)) = answers.next().await {
        match answer {
            Ok(answer) => accepted = Some(answer),
            Err(SendError::Refused(why)) => refused.push(format!("{incident}: {why}")),
            Err(passing) => return Err(passing),
        }
    }
    match accepted {
        Some(accepted) if refused.is_empty() => Ok(accepted),
        Some(accepted) => {
            let partly = Some(format!("{} alerts were refused, such as {}", refused.len(), refused.swap_remove(0)));
            Ok(Accepted { partly, ..accepted })
        }
        None => Err(SendError::Refused(refused.into_iter().next().unwrap_or_else(|| "there is no alert".to_owned()))),
    }
}
