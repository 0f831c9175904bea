//! Finds whom to ask about a domain in IANA's list (RFC 9224 sections 3 and 4).

use serde_json::Value as Json;
use url::Url;

use crate::probe::http::Answer;
use crate::probe::observation::Outcome;

/// Returns where the registry of `name` is: that of its longest ending in the list.
///
/// # Errors
/// Unknown, if the list cannot be read or has none.
pub(super) fn find(name: &str, answer: &Answer) -> Result<Url, Outcome> {
    let services = answer.json.as_ref().and_then(|json| json.get("services")?.as_array());
    let Some(services) = services.filter(|_| answer.status == 200) else {
        return Err(Outcome::local(format!(
            "the list of registries does not say: status {}: {}",
            answer.status, answer.excerpt
        )));
    };
    let texts = |service: &Json, place: usize| -> Vec<String> {
        let items = service.get(place).and_then(Json::as_array).into_iter().flatten();
        items.filter_map(Json::as_str).map(str::to_ascii_lowercase).collect()
    };
    let longest = services.iter().flat_map(|service| {
        let urls = texts(service, 1);
        texts(service, 0)
            .into_iter()
            .filter(|ending| ends_with(name, ending))
            .map(move |ending| (ending.len(), urls.clone()))
    });
    let urls = longest.max_by_key(|(length, _)| *length).map(|(_, urls)| urls).unwrap_or_default();
    let mut urls: Vec<Url> = urls.iter().filter_map(|url| Url::parse(url).ok()).collect();
    // Encrypted first, where there is a choice.
    urls.sort_by_key(|url| url.scheme() != "https");
    urls.into_iter().next().ok_or_else(|| {
        let ending = name.rsplit('.').next().unwrap_or_default();
        Outcome::local(format!("no registry of .{ending} is known to speak RDAP; write server: https://… if one does"))
    })
}

/// Whole labels count.
fn ends_with(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_ending_of_whole_labels_is_asked() {
        let list = json!({ "services": [
            [["uk", "com"], ["http://one.example/", "https://one.example/"]],
            [["co.uk"], ["https://two.example/rdap"]],
        ] });
        let answer =
            Answer { status: 200, headers: Vec::new(), json: Some(list), excerpt: String::new(), body: "".into() };
        for (name, url) in [
            ("example.com", "https://one.example/"),
            ("example.co.uk", "https://two.example/rdap"),
            ("exampleco.uk", "https://one.example/"),
        ] {
            assert_eq!(find(name, &answer).unwrap().as_str(), url, "{name}");
        }
        let text = "no registry of .notcom is known to speak RDAP; write server: https://… if one does";
        assert_eq!(find("example.notcom", &answer), Err(Outcome::local(text)));
        let broken =
            Answer { status: 503, headers: Vec::new(), json: None, excerpt: "later".to_owned(), body: "".into() };
        assert_eq!(
            find("a.com", &broken),
            Err(Outcome::local("the list of registries does not say: status 503: later"))
        );
    }
}
