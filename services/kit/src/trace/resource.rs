//! What is said of this process with its spans, and lists of names and values in variables.

use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::otlp::Resource;
use crate::env::Variables;

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const NAME: &str = "service.name";

/// Reads what traces and logs call the program: the variable, the attribute, or its own name.
pub(crate) fn service_name(variables: &Variables<'_>, name: &str) -> String {
    let listed = || {
        let listed = pairs(variables.text(ATTRIBUTES)?)?;
        listed.into_iter().find_map(|(key, value)| (key == NAME).then_some(value))
    };
    let own = variables.text("OTEL_SERVICE_NAME").map(str::to_owned);
    own.or_else(listed).unwrap_or_else(|| name.to_owned())
}

/// Reads `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; the program's own name and version stand where they say
/// nothing else.
pub(super) fn read(variables: &Variables<'_>, name: &str, version: &str) -> Resource {
    let mut resource: Resource = pairs(variables.text(ATTRIBUTES).unwrap_or_default()).unwrap_or_else(|| {
        variables.mistake(ATTRIBUTES, "not a list; write it like deployment.environment.name=prod,team=a%20b");
        Resource::new()
    });
    resource.retain(|(key, _)| key != NAME);
    resource.push((NAME.to_owned(), service_name(variables, name)));
    let instance = Uuid::new_v4().to_string();
    for (key, value) in [
        ("service.version", version),
        ("service.instance.id", &instance),
        ("telemetry.sdk.name", env!("CARGO_PKG_NAME")),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        if !resource.iter().any(|(known, _)| known == key) {
            resource.push((key.to_owned(), value.to_owned()));
        }
    }
    resource
}

/// Reads `a=1,b=two%20words` (W3C Baggage section 3.3.1, as the OpenTelemetry specification asks for). None if it is not
/// so.
pub(super) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let name = Some(name.trim()).filter(|name| !name.is_empty())?;
        Some((name.to_owned(), value.into_owned()))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    #[test]
    fn the_name_of_the_service_is_the_variables_the_attributes_or_the_programs() {
        let name = |pairs| {
            let environment = pairs;
            let resource = read(&Variables::new(&environment), "monitor", "1.2");
            let names: Vec<_> = resource.into_iter().filter(|(key, _)| key == "service.name").collect();
            assert_eq!(names.len(), 1);
            names[0].1.clone()
        };
        assert_eq!(name(Environment::of([])), "monitor");
        let given = Environment::of([(ATTRIBUTES, "a=b, service.name = from%20list ")]);
        assert_eq!(name(given.clone()), "from list");
        assert_eq!(name(given.with("OTEL_SERVICE_NAME", "own")), "own");
    }

    #[test]
    fn a_list_is_names_with_values_and_nothing_else() {
        let two = |text| pairs(text).map(|pairs| pairs.len());
        assert_eq!(
            (two(""), two("a=1,b=x=y,"), two("a"), two("=1"), two("a=%ff")),
            (Some(0), Some(2), None, None, None)
        );
    }
}
