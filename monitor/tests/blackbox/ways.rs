//! Prober `http` through proxies.

use std::io::Write;

use tempfile::NamedTempFile;
use testkit::{Authority, Request, Response, Target};

use crate::both::Case;

pub(crate) struct Servers {
    web: Target,
    secure: Target,
    refuse: Target,
    proxy: Target,
    secure_proxy: Target,
    socks: Target,
    socks_login: Target,
    ca: NamedTempFile,
}

impl Servers {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let mut ca = NamedTempFile::new().unwrap();
        ca.write_all(authority.pem().as_bytes()).unwrap();
        let answer = |_: &Request| Response::new(200, "in");
        Self {
            web: Target::respond_with(answer),
            secure: Target::https_with(&authority.valid(), answer),
            refuse: Target::refuse(),
            proxy: Target::proxy(),
            secure_proxy: Target::https_proxy(&authority.valid()),
            socks: Target::socks5(None),
            socks_login: Target::socks5(Some(("me", "p@ss:word"))),
            ca,
        }
    }

    /// Modules that blackbox_exporter 0.23 can read too.
    pub(crate) fn modules(&self) -> String {
        let trusting = format!("tls_config: {{ ca_file: {}, server_name: localhost }}", self.ca.path().display());
        let through = |target: &Target, login: &str| {
            format!("proxy_url: '{}', {trusting}", target.url("").replace("//", &format!("//{login}")))
        };
        [
            ("via_http", through(&self.proxy, "")),
            (
                "via_http_header",
                format!("{}, proxy_connect_header: {{ X-Pass: [one, two] }}", through(&self.proxy, "me:a%40b@")),
            ),
            ("via_https", through(&self.secure_proxy, "")),
            ("via_https_distrusted", format!("proxy_url: '{}'", self.secure_proxy.url(""))),
            ("via_socks", through(&self.socks, "")),
            ("via_socks_login", through(&self.socks_login, "me:p%40ss%3Aword@")),
            ("via_socks_wrong", through(&self.socks_login, "me:other@")),
            ("via_socks_nobody", through(&self.socks_login, "")),
            ("via_nobody", through(&self.refuse, "").replace("http:", "socks5:")),
        ]
        .map(|(name, http)| {
            format!("  {name}: {{ prober: http, timeout: 5s, http: {{ preferred_ip_protocol: ip4, {http} }} }}\n")
        })
        .concat()
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        let (web, secure) = (|path: &str| self.web.url(path), |path: &str| self.secure.url(path));
        let case = Case::new;
        vec![
            case("through a proxy", "via_http", &web("/ok"), true),
            case("through a proxy to TLS", "via_http", &secure("/ok"), true),
            case("through a proxy to nobody", "via_http", &self.refuse.url("/"), false),
            case("through a proxy with headers", "via_http_header", &secure("/ok"), true),
            case("through a proxy with TLS", "via_https", &web("/ok"), true),
            case("through a proxy with TLS to TLS", "via_https", &secure("/ok"), true),
            case("through a proxy that is not trusted", "via_https_distrusted", &web("/ok"), false),
            case("through SOCKS", "via_socks", &web("/ok"), true),
            case("through SOCKS to TLS", "via_socks", &secure("/ok"), true),
            case("through SOCKS to a name", "via_socks", &web("/ok").replace("127.0.0.1", "localhost"), true),
            case("through SOCKS to nobody", "via_socks", &self.refuse.url("/"), false),
            case("through SOCKS with a password", "via_socks_login", &web("/ok"), true),
            case("through SOCKS with another password", "via_socks_wrong", &web("/ok"), false),
            case("through SOCKS without a password", "via_socks_nobody", &web("/ok"), false),
            case("through nobody", "via_nobody", &web("/ok"), false),
        ]
    }

    /// Checks that both have told the proxy the same.
    pub(crate) fn check(&self) {
        let heads: Vec<String> =
            self.proxy.received().into_iter().map(|head| String::from_utf8_lossy(&head).to_lowercase()).collect();
        let signed: Vec<&String> =
            heads.iter().filter(|head| head.contains("x-pass: one\r\nx-pass: two\r\n")).collect();
        assert_eq!(signed.len(), 2, "{heads:?}");
        for head in signed {
            assert!(head.starts_with("connect ") && head.contains("proxy-authorization: basic bwu6yubi\r\n"), "{head}");
        }
        assert!(self.web.requests().iter().all(|request| request.header("x-pass").is_none()));
    }
}
