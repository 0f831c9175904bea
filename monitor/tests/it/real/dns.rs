//! Debian's Unbound with a zone of its own: datagrams, TCP, TLS, and every way a name can be wrong.

use monitor::probe::ReasonCode;
use testkit::{Authority, Server, free_port};

use crate::{SHORT, ask, ask_within, assert_pass, fail, file, trusting};

/// Too long for one datagram of 1232 bytes.
const LONG: usize = 20;

fn zone() -> String {
    let mut records = vec![
        "shop.test. 300 IN A 192.0.2.1".to_owned(),
        "shop.test. 300 IN A 192.0.2.2".to_owned(),
        "shop.test. 300 IN AAAA 2001:db8::1".to_owned(),
        "shop.test. 300 IN MX 10 Mail.shop.test.".to_owned(),
        "shop.test. 300 IN CAA 0 issue ca.example".to_owned(),
        "_sip._tcp.shop.test. 60 IN SRV 1 2 5060 sip.shop.test.".to_owned(),
        "www.shop.test. 300 IN CNAME elsewhere.test.".to_owned(),
        "1.2.0.192.in-addr.arpa. 300 IN PTR shop.test.".to_owned(),
        "txt.shop.test. 300 IN TXT \"v=spf1 -all\"".to_owned(),
    ];
    records.extend((0..LONG).map(|n| format!("long.shop.test. 300 IN TXT \"{n} {}\"", "x".repeat(100))));
    records.iter().map(|record| format!("local-data: '{record}'\n")).collect()
}

/// Starts it, for questions in the clear on the first port and over TLS on the second.
async fn start(authority: &Authority) -> (u16, u16, Server, [tempfile::NamedTempFile; 3]) {
    let (port, tls_port) = (free_port(), free_port());
    let certificate = authority.valid();
    let (chain, key) = (file(certificate.pem()), file(certificate.key_pem()));
    let config = file(&format!(
        "server:\ninterface: 127.0.0.1@{port}\ninterface: 127.0.0.1@{tls_port}\ntls-port: {tls_port}\n\
         tls-service-pem: {}\ntls-service-key: {}\nusername: ''\nchroot: ''\npidfile: ''\nuse-syslog: no\n\
         do-not-query-localhost: yes\nede: yes\nmodule-config: iterator\nlocal-zone: 'shop.test.' static\n\
         local-zone: '2.0.192.in-addr.arpa.' static\nlocal-zone: 'secret.test.' refuse\n\
         local-zone: 'broken.test.' transparent\n{}\
         forward-zone:\nname: 'broken.test.'\nforward-addr: 127.0.0.1@9\nforward-first: no\n\
         remote-control:\ncontrol-enable: no\n",
        chain.path().display(),
        key.path().display(),
        zone(),
    ));
    let config_path = config.path().display().to_string();
    let server = Server::start(port, "unbound", &["-d", "-p", "-c", &config_path]).await;
    (port, tls_port, server, [chain, key, config])
}

#[tokio::test]
async fn a_real_server_tells_its_records_and_what_is_wrong_with_a_name() {
    let authority = Authority::new();
    let (port, tls_port, _server, _files) = start(&authority).await;
    let check = |settings: &str, expect: &str| format!("dns: {{ server: '127.0.0.1:{port}', {settings} }}\n{expect}");
    for settings in [
        "name: shop.test, answer: [192.0.2.2, 192.0.2.1], match: exactly, min_answers: 2",
        "name: SHOP.test., answer: [192.0.2.9, 192.0.2.1], match: any",
        "name: shop.test, type: aaaa, answer: '2001:DB8:0::1'",
        "name: shop.test, type: MX, answer: '10 mail.shop.test'",
        "name: _sip._tcp.shop.test, type: SRV, answer: '1 2 5060 sip.shop.test.'",
        "name: 192.0.2.1, type: PTR, answer: shop.test",
        "name: shop.test, type: CAA, transport: tcp",
        "name: shop.test, type: TYPE257",
        "name: txt.shop.test, type: TXT, answer: v=spf1 -all",
        "name: gone.shop.test, rcode: NXDOMAIN",
        "name: x.secret.test, rcode: REFUSED",
        "name: www.shop.test, type: CNAME, answer: elsewhere.test",
        "name: shop.test, type: NS, min_answers: 0",
    ] {
        assert_pass(&ask(&check(settings, "")).await);
    }
    let facts = "expect: { json: { rcode: NOERROR, authoritative: true, authenticated: false, 'answers[0].type': MX, \
                 'answers[0].ttl': 300, 'answers[0].data': 10 Mail.shop.test. }, expr: 'size(json.answers) == 1' }";
    let seen = ask(&check("name: shop.test, type: MX", facts)).await;
    assert_pass(&seen);
    assert_eq!(seen.seen.note.as_deref(), Some("10 Mail.shop.test."));
    for (settings, code, text) in [
        ("name: gone.shop.test", ReasonCode::Dns, "gone.shop.test does not exist (NXDOMAIN)"),
        ("name: shop.test, type: NS", ReasonCode::Dns, "shop.test has no NS record"),
        ("name: shop.test, rcode: NXDOMAIN", ReasonCode::Dns, "shop.test exists (NOERROR), expected NXDOMAIN"),
        ("name: x.secret.test", ReasonCode::Dns, "the server does not answer us for x.secret.test (REFUSED)"),
        (
            "name: shop.test, type: MX, answer: 10 mx.shop.test",
            ReasonCode::Body,
            "shop.test MX: 10 Mail.shop.test.; expected all of 10 mx.shop.test",
        ),
        (
            "name: shop.test, type: MX, min_answers: 2",
            ReasonCode::Dns,
            "shop.test has 1 MX records, expected at least 2: 10 Mail.shop.test.",
        ),
    ] {
        let observation = ask(&check(settings, "")).await;
        assert_eq!(fail(&observation), (code, text.to_owned()), "{settings}");
    }
    let (code, text) = fail(&ask(&check("name: x.broken.test", "")).await);
    assert_eq!(code, ReasonCode::Dns);
    assert!(text.starts_with("x.broken.test cannot be resolved: the server answered SERVFAIL"), "{text}");

    let long = ask(&check(&format!("name: long.shop.test, type: TXT, min_answers: {LONG}"), "")).await;
    assert_pass(&long);
    let note = long.seen.note.unwrap();
    assert!(note.starts_with("cut over UDP, asked again over TCP; "), "{note}");
    assert_eq!(long.seen.protocol.as_deref(), Some("DNS over TCP"));

    over_tls(&authority, tls_port, port).await;
}

async fn over_tls(authority: &Authority, tls_port: u16, plain_port: u16) {
    let (_file, trust) = trusting(authority);
    let check = |port: u16, tls: &str| {
        format!(
            "dns: {{ name: shop.test, server: '127.0.0.1:{port}', transport: tls{tls} }}\nexpect: {{ cert_valid_for: 1h }}"
        )
    };
    let trusting = format!(", tls: {{ {trust} }}");
    let seen = ask(&check(tls_port, &trusting)).await;
    assert_pass(&seen);
    assert_eq!(seen.seen.protocol.as_deref(), Some("DNS over TLS"));
    assert!(seen.seen.cert_expires.is_some());
    let (code, text) = fail(&ask(&check(tls_port, "")).await);
    assert_eq!(code, ReasonCode::Certificate, "{text}");
    let (code, text) = fail(&ask_within(SHORT, &check(plain_port, &trusting)).await);
    assert!(matches!(code, ReasonCode::Tls | ReasonCode::Reset | ReasonCode::Timeout), "{code:?} {text}");
    let plain = ask(&format!("dns: {{ name: shop.test, server: '127.0.0.1:{tls_port}', transport: tcp }}")).await;
    let (code, _) = fail(&plain);
    assert!(matches!(code, ReasonCode::Protocol | ReasonCode::Reset), "{plain:?}");
}
