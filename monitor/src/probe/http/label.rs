//! Kind `http` as a container's label writes it: a port and a path of that container.

use url::Url;

use crate::probe::expect::excerpt;
use crate::probe::kinds::{LabelSettings, OwnAddress};

/// Returns the settings that `/health` or `:8080/health` comes to.
///
/// # Errors
/// What is wrong with it.
pub(super) fn settings(value: &str, own: OwnAddress<'_>) -> Result<LabelSettings, String> {
    let wrong =
        || format!("{:?} is no path of this container; write /health or :8080/health", excerpt(value.as_bytes()));
    let (port, path) = match value.strip_prefix(':') {
        None => (None, value),
        Some(rest) => {
            let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let port = port.parse().ok().filter(|port: &u16| *port != 0).ok_or_else(wrong)?;
            (Some(port), if path.is_empty() { "/" } else { path })
        }
    };
    if !path.starts_with('/') {
        return Err(wrong());
    }
    let root = format!("http://{}", own(port)?);
    let url = Url::parse(&format!("{root}{path}")).map_err(|_| wrong())?;
    // Whatever stands in the path, it must not have become part of the address.
    let is_own = Url::parse(&root).is_ok_and(|root| root.origin() == url.origin());
    if !is_own || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong());
    }
    // Its answer must not send us elsewhere.
    Ok(vec![("url", url.into()), ("redirects", "none".to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: Result<&str, &str>) {
        let own = |port: Option<u16>| Ok(format!("172.17.0.2:{}", port.unwrap_or(8000)));
        match (settings(value, &own), expected) {
            (Ok(settings), Ok(url)) => {
                assert_eq!(settings, [("url", url.to_owned()), ("redirects", "none".to_owned())], "{value}");
            }
            (Err(message), Err(expected)) => assert!(message.contains(expected), "{value}: {message}"),
            (found, expected) => panic!("{value}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn a_label_is_a_path_with_or_without_a_port_and_never_another_address() {
        check("/health", Ok("http://172.17.0.2:8000/health"));
        check(":8080/health?full=1", Ok("http://172.17.0.2:8080/health?full=1"));
        check(":8080", Ok("http://172.17.0.2:8080/"));
        check("//evil.example/", Ok("http://172.17.0.2:8000//evil.example/"));
        check("/\\evil.example/", Ok("http://172.17.0.2:8000//evil.example/"));
        check("/@evil.example/", Ok("http://172.17.0.2:8000/@evil.example/"));
        for value in [
            "http://evil.example/",
            "evil.example/",
            "@evil.example/",
            ":80@evil.example/",
            ":8080.evil.example/",
            ":0/",
            ":99999/",
            ":",
            "",
            "169.254.169.254/latest",
            ":80\\@evil.example",
        ] {
            check(value, Err("is no path of this container; write /health or :8080/health"));
        }
    }
}
