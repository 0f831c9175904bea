//! Prober `http`.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::NamedTempFile;
use testkit::{Authority, Certificate, Request, Response, Target};

use crate::both::Case;

pub(crate) struct Servers {
    web: Target,
    _other: Target,
    old: Target,
    broken: [Target; 6],
    secure: Target,
    expired: Target,
    wrong_name: Target,
    stranger: Target,
    client: Target,
    ca: NamedTempFile,
}

impl Servers {
    pub(crate) fn new() -> Self {
        let other = Target::respond_with(answer);
        let elsewhere = other.url("/ok");
        let web = Target::respond_with(move |request| match request.path.as_str() {
            "/elsewhere" => redirect(302, &elsewhere),
            _ => answer(request),
        });
        let authority = Authority::new();
        let ca = NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), authority.pem()).unwrap();
        Self {
            web,
            _other: other,
            old: Target::reply("HTTP/1.0 200 OK\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\nold"),
            broken: [
                Target::refuse(),
                Target::stall(),
                Target::reset(),
                Target::garbage(),
                Target::half_body(),
                Target::close(),
            ],
            secure: Target::https_with(&authority.valid(), answer),
            expired: Target::https_with(&authority.expired(), answer),
            wrong_name: Target::https_with(&authority.wrong_name(), answer),
            stranger: Target::https_with(&Certificate::self_signed(), answer),
            client: Target::https_requiring_client_certificate(&authority, &authority.valid(), "in"),
            ca,
        }
    }

    /// Modules that blackbox_exporter 0.23 can read too.
    pub(crate) fn modules(&self) -> String {
        let ca = self.ca.path().display();
        let trusting = format!("tls_config: {{ ca_file: {ca} }}");
        let module =
            |name: &str, http: &str| format!("  {name}: {{ prober: http, timeout: 1s, http: {{ {http} }} }}\n");
        [
            ("http_2xx", "preferred_ip_protocol: ip4"),
            ("post", "method: POST, body: '{\"a\": 1}', headers: { Content-Type: application/json }"),
            ("head", "method: HEAD"),
            ("statuses", "valid_status_codes: [204, 404]"),
            ("stays", "follow_redirects: false"),
            ("stays_fine", "follow_redirects: false, valid_status_codes: [302]"),
            ("old_stays", "no_follow_redirects: true"),
            ("has", "fail_if_body_not_matches_regexp: ['{\"status\": ?\"ok\"']"),
            ("has_not", "fail_if_body_matches_regexp: ['(?i)ERROR', '\\bfine\\b']"),
            ("header", "fail_if_header_not_matches: [{ header: x-kind, regexp: '^web' }]"),
            ("header_not", "fail_if_header_matches: [{ header: X-Kind, regexp: '^web' }]"),
            ("header_may", "fail_if_header_not_matches: [{ header: x-none, regexp: a, allow_missing: true }]"),
            ("versions", "valid_http_versions: [HTTP/1.1]"),
            ("version_two", "valid_http_versions: [HTTP/2.0]"),
            ("limited", "body_size_limit: 1000B"),
            ("limited_match", "body_size_limit: 1000B, fail_if_body_not_matches_regexp: ['x']"),
            ("gzip", "compression: gzip, fail_if_body_not_matches_regexp: ['^packed$']"),
            ("gzip_header", "headers: { Accept-Encoding: gzip }"),
            ("basic", "basic_auth: { username: me, password: secret-word }"),
            ("basic_wrong", "basic_auth: { username: me, password: other-word }"),
            (
                "basic_header",
                "headers: { Authorization: Basic bWU6c2VjcmV0LXdvcmQ= }, basic_auth: { username: me, password: other-word }",
            ),
            ("bearer", "authorization: { credentials: secret-token }"),
            ("old_bearer", "bearer_token: secret-token"),
            ("host", "headers: { Host: shop.example }, fail_if_body_not_matches_regexp: ['^host shop.example$']"),
            ("hostname", "fail_if_body_not_matches_regexp: ['^host shop.example$']"),
            ("no_ssl", "fail_if_ssl: true, tls_config: { insecure_skip_verify: true }"),
            ("ssl", "fail_if_not_ssl: true, tls_config: { insecure_skip_verify: true }"),
            ("insecure", "tls_config: { insecure_skip_verify: true }"),
            ("trusting", &trusting),
            ("named", &format!("tls_config: {{ ca_file: {ca}, server_name: wrong.example }}")),
            ("http_one", &format!("enable_http2: false, {trusting}")),
            ("only_v6", "preferred_ip_protocol: ip6, ip_protocol_fallback: false"),
            ("agent", "fail_if_body_not_matches_regexp: ['^agent Blackbox']"),
        ]
        .map(|(name, http)| module(name, http))
        .concat()
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        let web = |path: &str| self.web.url(path);
        let bare = self.web.addr().to_string();
        let [refuse, stall, reset, garbage, half, close] = self.broken.each_ref().map(|target| target.url("/"));
        let case = Case::new;
        vec![
            case("fine", "http_2xx", &web("/ok"), true),
            case("without scheme", "http_2xx", &bare, true),
            case("upper-case scheme", "http_2xx", &format!("HTTP://{bare}/ok"), true),
            case("404", "http_2xx", &web("/404"), false),
            case("404 wanted", "statuses", &web("/404"), true),
            case("200 not wanted", "statuses", &web("/ok"), false),
            case("204", "http_2xx", &web("/204"), true),
            case("500", "http_2xx", &web("/500"), false),
            case("post", "post", &web("/echo"), true),
            case("post redirected", "post", &web("/redirect/echo"), true),
            case("post redirected with its body", "post", &web("/redirect307/echo"), true),
            case("head", "head", &web("/ok"), true),
            case("redirect", "http_2xx", &web("/redirect/ok"), true),
            case("redirects", "http_2xx", &web("/redirect/redirect/redirect/ok"), true),
            case("redirect to another host", "http_2xx", &web("/elsewhere"), true),
            case("redirects for ever", "http_2xx", &web("/loop"), false),
            case("redirect nowhere", "http_2xx", &web("/nowhere"), false),
            case("redirect not followed", "stays", &web("/redirect/ok"), false),
            case("redirect not followed, and wanted", "stays_fine", &web("/redirect/ok"), true),
            case("redirect not followed, as of old", "old_stays", &web("/redirect/ok"), false),
            case("an empty redirect", "http_2xx", &web("/empty-location"), false),
            case("a date of RFC 850", "http_2xx", &web("/rfc850"), true),
            case("a date of asctime", "http_2xx", &web("/asctime"), true),
            case("cookie", "http_2xx", &web("/cookie"), true),
            case("body matches", "has", &web("/json"), true),
            case("body does not match", "has", &web("/ok"), false),
            case("body must not match", "has_not", &web("/ok"), false),
            case("body may not match", "has_not", &web("/json"), true),
            case("body matches a 404", "has", &web("/404"), false),
            case("header matches", "header", &web("/ok"), true),
            case("header is missing", "header", &web("/json"), false),
            case("header must not match", "header_not", &web("/ok"), false),
            case("header may be missing", "header_may", &web("/ok"), true),
            case("version", "versions", &web("/ok"), true),
            case("another version", "version_two", &web("/ok"), false),
            case("HTTP/1.0", "http_2xx", &self.old.url("/"), true),
            case("HTTP/1.0 is another version", "versions", &self.old.url("/"), false),
            case("large", "http_2xx", &web("/large"), true),
            case("too large", "limited", &web("/large"), false),
            case("too large to match", "limited_match", &web("/large"), false),
            case("small enough", "limited", &web("/ok"), true),
            case("packed", "gzip", &web("/packed"), true),
            case("not packed", "gzip", &web("/ok"), false),
            case("packed, and left so", "gzip_header", &web("/packed"), true),
            case("basic", "basic", &web("/basic"), true),
            case("basic refused", "basic_wrong", &web("/basic"), false),
            case("basic in the URL", "http_2xx", &web("/basic").replace("//", "//me:secret-word@"), true),
            case(
                "basic in the URL, not the module's",
                "basic_wrong",
                &web("/basic").replace("//", "//me:secret-word@"),
                true,
            ),
            case(
                "another in the URL than the module's",
                "basic",
                &web("/basic").replace("//", "//me:other-word@"),
                false,
            ),
            case("basic in a header, not the module's", "basic_header", &web("/basic"), true),
            case("basic in the URL, encoded", "http_2xx", &web("/basic").replace("//", "//me:secret%2Dword@"), true),
            case("bearer", "bearer", &web("/bearer"), true),
            case("bearer, as of old", "old_bearer", &web("/bearer"), true),
            case("virtual host", "host", &web("/host"), true),
            case("hostname", "hostname", &web("/host"), true).and("&hostname=shop.example"),
            case("hostname clashes", "host", &web("/host"), true).and("&hostname=other.example"),
            case("agent", "agent", &web("/agent"), true),
            case("plain though TLS must be", "ssl", &web("/ok"), false),
            case("TLS as must be", "ssl", &self.secure.url("/ok"), true),
            case("TLS though it must not be", "no_ssl", &self.secure.url("/ok"), false),
            case("plain as must be", "no_ssl", &web("/ok"), true),
            case("trusted", "trusting", &self.secure.url("/ok"), true),
            case("trusted, HTTP/1.1", "http_one", &self.secure.url("/ok"), true),
            case("untrusted", "http_2xx", &self.secure.url("/ok"), false),
            case("expired", "trusting", &self.expired.url("/ok"), false),
            case("expired, and nobody cares", "insecure", &self.expired.url("/ok"), true),
            case("wrong name", "trusting", &self.wrong_name.url("/ok"), false),
            case("named", "named", &self.wrong_name.url("/ok"), true),
            case("hostname names the certificate", "trusting", &self.wrong_name.url("/ok"), true)
                .and("&hostname=wrong.example"),
            case("self-signed", "trusting", &self.stranger.url("/ok"), false),
            case("wants a client certificate", "trusting", &self.client.url("/"), false),
            case("TLS to a plain port", "insecure", &web("/ok").replace("http:", "https:"), false),
            case("refused", "http_2xx", &refuse, false),
            case("stalled", "http_2xx", &stall, false),
            case("reset", "http_2xx", &reset, false),
            case("garbage", "http_2xx", &garbage, false),
            case("half a body", "http_2xx", &half, false),
            case("closed", "http_2xx", &close, false),
            case("no IPv6", "only_v6", &web("/ok"), false),
            case("a name", "http_2xx", &web("/ok").replace("127.0.0.1", "localhost"), true),
            case("no such name", "http_2xx", "http://no-such-name.invalid/", false),
            case("no URL", "http_2xx", "http://[::1", false),
            case("a short scrape", "http_2xx", &web("/ok"), true).with("x-prometheus-scrape-timeout-seconds", "0.5"),
            case("a scrape", "http_2xx", &web("/ok"), true).with("x-prometheus-scrape-timeout-seconds", "10"),
            Case::query("no module of that name", "module=nope&target=x"),
            Case::path("no such path", "/nope"),
            Case::query("no target", "module=http_2xx"),
            Case::query("the usual module", &format!("target={bare}/ok")),
            Case::query("a timeout that is none", "module=http_2xx&target=x")
                .with("x-prometheus-scrape-timeout-seconds", "soon"),
            Case::query("the first target counts", &format!("target={bare}/ok&target=127.0.0.1:1")),
        ]
    }
}

fn redirect(status: u16, to: &str) -> Response {
    Response::new(status, Bytes::new()).with_header("location", to)
}

fn answer(request: &Request) -> Response {
    let path = request.path.as_str();
    if let Some(rest) = path.strip_prefix("/redirect307/") {
        return redirect(307, &format!("/{rest}"));
    }
    if let Some(rest) = path.strip_prefix("/redirect/") {
        return redirect(302, &format!("/{rest}"));
    }
    let status = |status| Response::new(status, "no");
    let ok = |body: String| Response::new(200, body);
    let allowed =
        |wanted: &str| if request.header("authorization") == Some(wanted) { ok("in".to_owned()) } else { status(401) };
    match path {
        "/404" => status(404),
        "/500" => status(500),
        "/204" => Response::new(204, Bytes::new()),
        "/loop" => redirect(301, "/loop"),
        "/nowhere" => status(302),
        "/empty-location" => redirect(302, ""),
        "/rfc850" => ok("old".to_owned()).with_header("last-modified", "Sunday, 06-Nov-94 08:49:37 GMT"),
        "/asctime" => ok("older".to_owned()).with_header("last-modified", "Sun Nov  6 08:49:37 1994"),
        "/cookie" => redirect(302, "/needs-cookie").with_header("set-cookie", "a=b; Path=/"),
        "/needs-cookie" if request.header("cookie") == Some("a=b") => ok("in".to_owned()),
        "/needs-cookie" => redirect(302, "/cookie"),
        "/echo" => ok(format!("{} {}", request.method, request.text())),
        "/json" => ok(r#"{"status": "ok"}"#.to_owned()),
        "/large" => ok("x".repeat(100_000)),
        "/packed" => Response::new(200, packed("packed")).with_header("content-encoding", "gzip"),
        "/basic" => allowed("Basic bWU6c2VjcmV0LXdvcmQ="),
        "/bearer" => allowed("Bearer secret-token"),
        "/host" => ok(format!("host {}", request.header("host").unwrap_or_default())),
        "/agent" => {
            ok(format!("agent {}", request.header("user-agent").unwrap_or_default().get(..8).unwrap_or_default()))
        }
        _ => ok("fine".to_owned())
            .with_header("x-kind", "web 1")
            .with_header("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
    }
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
