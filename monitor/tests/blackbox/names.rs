//! Prober `dns`, with Debian's Unbound.

use tempfile::NamedTempFile;
use testkit::{Authority, Server, Target, free_port};

use crate::both::Case;

const RECORDS: [&str; 6] = [
    "shop.test. 300 IN SOA ns.shop.test. admin.shop.test. 2026112901 3600 600 86400 300",
    "shop.test. 300 IN NS ns.shop.test.",
    "shop.test. 300 IN A 192.0.2.1",
    "shop.test. 300 IN A 192.0.2.2",
    "shop.test. 300 IN MX 10 Mail.shop.test.",
    "txt.shop.test. 300 IN TXT \"v=spf1 -all\"",
];

pub(crate) struct Servers {
    port: u16,
    tls_port: u16,
    _unbound: Server,
    _files: [NamedTempFile; 3],
    ca: NamedTempFile,
    refuse: Target,
    stall: Target,
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let authority = Authority::new();
        let certificate = authority.valid();
        let (chain, key) = (file(certificate.pem()), file(certificate.key_pem()));
        let (port, tls_port) = (free_port(), free_port());
        let records: String = RECORDS.iter().map(|record| format!("local-data: '{record}'\n")).collect();
        let config = file(&format!(
            "server:\ninterface: 127.0.0.1@{port}\ninterface: 127.0.0.1@{tls_port}\ntls-port: {tls_port}\n\
             tls-service-pem: {}\ntls-service-key: {}\nusername: ''\nchroot: ''\npidfile: ''\nuse-syslog: no\n\
             module-config: iterator\nlocal-zone: 'test.' static\nlocal-zone: 'secret.test.' refuse\n{records}\
             remote-control:\ncontrol-enable: no\n",
            chain.path().display(),
            key.path().display(),
        ));
        let path = config.path().display().to_string();
        Self {
            port,
            tls_port,
            _unbound: Server::start(port, "unbound", &["-d", "-p", "-c", &path]).await,
            _files: [chain, key, config],
            ca: file(&authority.pem()),
            refuse: Target::refuse(),
            stall: Target::stall(),
        }
    }

    pub(crate) fn modules(&self) -> String {
        let ca = self.ca.path().display();
        let module = |name: &str, more: &str| format!("  {name}: {{ prober: dns, timeout: 1s, dns: {{ {more} }} }}\n");
        let validated = |name: &str, rule: &str| {
            module(name, &format!("query_name: shop.test, query_type: A, validate_answer_rrs: {{ {rule} }}"))
        };
        [
            module("a", "query_name: shop.test, query_type: A"),
            module("any", "query_name: shop.test"),
            module("soa", "query_name: shop.test, query_type: SOA"),
            module("gone", "query_name: gone.test, query_type: A"),
            module("gone_fine", "query_name: gone.test, query_type: A, valid_rcodes: [NXDOMAIN]"),
            module("refused", "query_name: a.secret.test, query_type: A, valid_rcodes: [NOERROR, NXDOMAIN]"),
            module("tcp_a", "query_name: shop.test, query_type: A, transport_protocol: tcp"),
            module("no_recursion", "query_name: shop.test, query_type: A, recursion_desired: false"),
            module(
                "tls_a",
                &format!(
                    "query_name: shop.test, query_type: A, transport_protocol: tcp, dns_over_tls: true, \
                     tls_config: {{ ca_file: {ca} }}"
                ),
            ),
            module(
                "txt",
                "query_name: txt.shop.test, query_type: TXT, \
                 validate_answer_rrs: { fail_if_not_matches_regexp: ['^txt\\.shop\\.test\\.\\t300\\tIN\\tTXT\\t\"v=spf1 -all\"$'] }",
            ),
            module(
                "mx",
                "query_name: shop.test, query_type: MX, \
                 validate_answer_rrs: { fail_if_not_matches_regexp: ['\\tMX\\t10 Mail\\.shop\\.test\\.$'] }",
            ),
            module(
                "soa_text",
                "query_name: shop.test, query_type: SOA, validate_answer_rrs: { fail_if_not_matches_regexp: \
                 ['SOA\\tns\\.shop\\.test\\. admin\\.shop\\.test\\. 2026112901 3600 600 86400 300$'] }",
            ),
            module(
                "no_authority",
                "query_name: shop.test, query_type: A, validate_authority_rrs: { fail_if_not_matches_regexp: ['.*'] }",
            ),
            validated("each", "fail_if_not_matches_regexp: ['shop\\.test\\.\\t.*\\tIN\\tA\\t192\\.0\\.2\\.[12]$']"),
            validated("not_each", "fail_if_not_matches_regexp: ['192\\.0\\.2\\.1$']"),
            validated("some", "fail_if_matches_regexp: ['192\\.0\\.2\\.1$']"),
            validated("all", "fail_if_all_match_regexp: ['192']"),
            validated("not_all", "fail_if_all_match_regexp: ['192\\.0\\.2\\.1$']"),
            validated("none", "fail_if_none_matches_regexp: ['203\\.0']"),
            validated("one", "fail_if_none_matches_regexp: ['192\\.0\\.2\\.2$', '203']"),
        ]
        .concat()
    }

    pub(crate) fn cases(&self) -> Vec<Case> {
        let (server, tls) = (format!("127.0.0.1:{}", self.port), format!("127.0.0.1:{}", self.tls_port));
        let case = |name, module: &str, succeeds| Case::new(name, module, &server, succeeds);
        vec![
            case("an address", "a", true),
            case("any record", "any", true),
            case("a serial number", "soa", true),
            case("no such name", "gone", false),
            case("no such name, as wanted", "gone_fine", true),
            case("refused by the server", "refused", false),
            case("over TCP", "tcp_a", true),
            case("without recursion", "no_recursion", true),
            Case::new("over TLS", "tls_a", &tls, true),
            Case::new("over TLS to a plain port", "tls_a", &server, false),
            case("a text", "txt", true),
            case("a mail server", "mx", true),
            case("a serial number as text", "soa_text", true),
            case("no authority", "no_authority", false),
            case("each record matches", "each", true),
            case("not each record matches", "not_each", false),
            case("some record matches", "some", false),
            case("all records match", "all", true),
            case("not all records match", "not_all", false),
            case("no record matches", "none", false),
            case("one record matches", "one", true),
            Case::new("no name server over TCP", "tcp_a", &self.refuse.addr().to_string(), false),
            Case::new("no name server over UDP", "a", &self.refuse.addr().to_string(), false),
            Case::new("a silent name server", "tcp_a", &self.stall.addr().to_string(), false),
            Case::new("a name server without port", "a", "127.0.0.77", false),
        ]
    }
}
