//! Places where tests have the process end as a power cut would: after one thing is durable, and before the next is done.

/// Ends the process here if `DLQ_FAILPOINT` names this place. Nothing at all in a program that is shipped.
pub(crate) fn at(place: &str) {
    if cfg!(debug_assertions) && std::env::var_os("DLQ_FAILPOINT").is_some_and(|wanted| wanted == place) {
        std::process::abort();
    }
}
