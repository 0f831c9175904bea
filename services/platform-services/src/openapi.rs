//! What this service says of its routes.

use kit::openapi::Description;
use kit::service::Settings as _;

use crate::settings::Settings;

/// Returns the description of a service with these settings.
pub(crate) fn description(settings: &Settings) -> Description {
    let mut description = Description::new(include_str!("openapi.yml"), Settings::VERSION);
    description.set("/components/schemas/NewPassword/minLength", settings.password_min_chars);
    description.set("/components/schemas/Batch/properties/metrics/maxItems", settings.metrics_batch_size);
    description
}

#[cfg(test)]
mod tests {
    use kit::config::Environment;

    use super::*;
    use crate::app::Service;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let environment = [("JWT_SECRET", "0123456789abcdef0123456789abcdef")];
        let settings = Settings::read(&Environment::of(environment)).unwrap();
        let service = Service::new(&settings);
        assert_eq!(description(&settings).operations(), testkit::routes(&service.router));
    }
}
