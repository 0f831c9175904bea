//! Prober `http` with tokens that are fetched first.

use std::io::Write;

use tempfile::NamedTempFile;
use testkit::{Authority, Request, Response, Target};

use crate::both::Case;

pub(crate) struct Servers {
    web: Target,
    refuse: Target,
    proxy: Target,
    endpoint: Target,
    secure_endpoint: Target,
    ca: NamedTempFile,
}

impl Servers {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let mut ca = NamedTempFile::new().unwrap();
        ca.write_all(authority.pem().as_bytes()).unwrap();
        let web = Target::respond_with(|request| match (request.path.as_str(), request.header("authorization")) {
            ("/led", _) => Response::new(302, "").with_header("location", "/token"),
            ("/token", Some("Bearer token-of-a")) | ("/dpop", Some("DPoP token-of-b")) => Response::new(200, "in"),
            _ => Response::new(401, "no"),
        });
        let (endpoint, secure_endpoint) = (Target::respond_with(grant), Target::https_with(&authority.valid(), grant));
        Self { web, refuse: Target::refuse(), proxy: Target::proxy(), endpoint, secure_endpoint, ca }
    }

    /// Modules that blackbox_exporter 0.23 can read too.
    pub(crate) fn modules(&self) -> String {
        let with = ", scopes: [a, b], endpoint_params: { audience: c d }";
        let proxied = format!(", proxy_url: '{}'", self.proxy.url(""));
        let trusting = format!(", tls_config: {{ ca_file: {} }}", self.ca.path().display());
        let both = format!("{trusting}{proxied}");
        let (plain, secure) = (&self.endpoint, &self.secure_endpoint);
        [
            ("token", plain, "/a", ""),
            ("token_by_body", plain, "/body", ""),
            ("token_with", plain, "/with", with),
            ("token_form", plain, "/form", ""),
            ("token_other", plain, "/b", ""),
            ("token_refused", plain, "/no", ""),
            ("token_none", plain, "/none", ""),
            ("token_garbage", plain, "/garbage", ""),
            ("token_proxied", plain, "/a", &proxied),
            ("token_secure", secure, "/a", &trusting),
            ("token_secure_proxied", secure, "/a", &both),
            ("token_distrusted", secure, "/a", ""),
        ]
        .map(|(name, endpoint, path, more)| {
            let url = endpoint.url(path);
            let oauth2 = format!("{{ client_id: 'me & you', client_secret: 'secret+word', token_url: '{url}'{more} }}");
            format!(
                "  {name}: {{ prober: http, timeout: 5s, http: {{ preferred_ip_protocol: ip4, oauth2: {oauth2} }} }}\n"
            )
        })
        .concat()
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        let (web, case) = (|path: &str| self.web.url(path), Case::new);
        vec![
            case("token", "token", &web("/token"), true),
            case("token, redirected", "token", &web("/led"), true),
            case("token for another", "token", &web("/dpop"), false),
            case("token by body", "token_by_body", &web("/token"), true),
            case("token with scopes and parameters", "token_with", &web("/token"), true),
            case("token in a form", "token_form", &web("/token"), true),
            case("token of another type", "token_other", &web("/dpop"), true),
            case("token refused", "token_refused", &web("/token"), false),
            case("no token", "token_none", &web("/token"), false),
            case("token that is none", "token_garbage", &web("/token"), false),
            case("token through a proxy", "token_proxied", &web("/token"), true),
            case("token over TLS", "token_secure", &web("/token"), true),
            case("token over TLS through a proxy", "token_secure_proxied", &web("/token"), true),
            case("token from who is not trusted", "token_distrusted", &web("/token"), false),
            case("token, and nobody answers", "token", &self.refuse.url("/"), false),
        ]
    }

    /// Checks that both have told the endpoint the same.
    pub(crate) fn check(&self) {
        let with: Vec<_> = self.endpoint.requests().into_iter().filter(|request| request.path == "/with").collect();
        let [first, second] = &with[..] else { panic!("{with:?}") };
        for name in ["authorization", "content-type"] {
            assert_eq!(first.header(name), second.header(name), "{name}");
        }
        assert_eq!(first.text(), second.text());
        let heads = self.proxy.received();
        let count = |wanted: &[u8]| heads.iter().filter(|head| head.starts_with(wanted)).count();
        assert_eq!((count(b"POST http://127.0.0.1:"), count(b"CONNECT 127.0.0.1:"), heads.len()), (2, 2, 4));
    }
}

/// Grants or refuses a token, as the path says.
fn grant(request: &Request) -> Response {
    let json =
        |status, text: &str| Response::new(status, text.to_owned()).with_header("content-type", "application/json");
    let token = || json(200, r#"{"access_token":"token-of-a","token_type":"bearer","expires_in":3600}"#);
    // me+%26+you:secret%2Bword
    let is_by_header = request.header("authorization") == Some("Basic bWUrJTI2K3lvdTpzZWNyZXQlMkJ3b3Jk");
    let refused = || json(401, r#"{"error":"invalid_client","error_description":"who are you"}"#);
    match (request.path.as_str(), is_by_header) {
        ("/a" | "/with", true) => token(),
        ("/b", true) => json(200, r#"{"access_token":"token-of-b","token_type":"DPoP"}"#),
        ("/body", false) => match request.text().as_str() {
            "client_id=me+%26+you&client_secret=secret%2Bword&grant_type=client_credentials" => token(),
            _ => refused(),
        },
        ("/form", true) => Response::new(200, "access_token=token-of-a&token_type=bearer")
            .with_header("content-type", "application/x-www-form-urlencoded"),
        ("/none", _) => json(200, "{}"),
        ("/garbage", _) => Response::new(200, "<html>"),
        _ => refused(),
    }
}
