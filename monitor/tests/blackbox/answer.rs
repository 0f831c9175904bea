//! What an exporter answers, taken apart.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Longer than any probe takes.
const LIMIT: Duration = Duration::from_secs(30);

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of(method: &str, url: &str, headers: &[(&str, &str)]) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let asking = async {
            let response = client.request(request.body(Full::default()).unwrap()).await.unwrap();
            let (head, body) = response.into_parts();
            Self { status: head.status.as_u16(), headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
        };
        tokio::time::timeout(LIMIT, asking).await.unwrap_or_else(|_| panic!("no answer from {url}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Every sample by its name and labels, as it is written; and the help of each metric.
    pub(crate) fn samples(&self) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
        let (mut samples, mut help) = (BTreeMap::new(), BTreeMap::new());
        for line in self.text().lines() {
            match line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                Some((name, text)) => drop(help.insert(name.to_owned(), text.to_owned())),
                None if line.starts_with('#') => {}
                None => {
                    let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
                    samples.insert(name.to_owned(), value.parse().unwrap());
                }
            }
        }
        (samples, help)
    }
}
