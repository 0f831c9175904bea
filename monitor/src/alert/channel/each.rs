//! For services that know single alerts only: one request for each alert of a message.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::post::{Poster, judge, keyed};
use super::{Accepted, SendError};
use crate::alert::message::{AlertPart, Message};

/// Sends what `request` makes of each alert, one after the other: an end must not overtake its beginning.
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
    let (mut accepted, mut refused) = (None, Vec::new());
    for part in &message.alerts {
        let key = format!("{}-{}", message.key, part.incident);
        let answer = async { judge(&session.ask(keyed(request(part)?, &key)).await?) };
        match answer.await {
            Ok(answer) => accepted = Some(answer),
            Err(SendError::Refused(why)) => refused.push(format!("{}: {why}", part.incident)),
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
