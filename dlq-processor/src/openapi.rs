//! What this daemon says of its routes.

use kit::openapi::Description;

use crate::app::VERSION;

/// Returns the description.
pub(crate) fn description() -> Description {
    Description::new(include_str!("openapi.yml"), VERSION)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kit::config::Environment;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::app::Daemon;
    use crate::settings::Settings;

    /// What is for people.
    const PAGES: [&str; 7] = ["/", "/letters", "/letters/{id}", "/plans", "/plans/{id}", "/audit", "/assets/{file}"];

    #[test]
    fn every_route_but_pages_is_described_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dlq.yml");
        std::fs::write(&path, "sources: {}").unwrap();
        let settings = Settings::load(&path, &Environment::default()).unwrap();
        let read = Arc::new(move || Settings::load(&path, &Environment::default()));
        let daemon = Daemon::new(settings, read, &CancellationToken::new());
        let mut routes = testkit::routes(&daemon.router());
        for page in PAGES {
            assert!(routes.remove(&format!("GET {page}")), "{page}");
        }
        assert_eq!(description().operations(), routes);
    }
}
