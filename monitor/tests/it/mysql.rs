//! Kind `mysql`: what a server may answer, and what a person is told.

use std::sync::Arc;

use monitor::probe::ReasonCode;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::{Authority, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::kinds::mysql::{DENIED, greeting, packet};
use crate::{PATIENT, ask, assert_fail, assert_pass, decode, trusting};

const NATIVE: &str = "mysql_native_password";
const SHA2: &str = "caching_sha2_password";
/// `hunter2` with the greeting's salt, computed with Python's `hashlib`.
const SHA2_PROOF: &[u8] =
    b"\x4d\xe7\xd6\x76\x91\xac\xb9\x9e\x54\xa0\x4d\x5e\x27\x34\x55\x51\x96\xcc\x37\xc6\xa0\x1b\x1f\x2e\
                            \xdc\x4a\x2e\xca\x9c\x0d\xca\x12";
const LOGIN: &str = ", username: me, password: '${SECRET}'";

fn check(target: &Target, settings: &str) -> String {
    format!("mysql: {{ address: '{}'{settings} }}", target.addr())
}

/// OK, as this packet.
fn fine(number: u8) -> Vec<u8> {
    packet(number, &[0, 0, 0, 2, 0, 0, 0])
}

/// One row of one whole number.
fn one_row(name: &str, value: &str) -> Vec<u8> {
    let size = |text: &str| u8::try_from(text.len()).unwrap();
    let column =
        [&b"\x03def\0\0\0"[..], &[size(name)], name.as_bytes(), b"\0\x0c\x3f\0\x01\0\0\0\x08\0\0\0\0\0"].concat();
    let row = [&[size(value)], value.as_bytes()].concat();
    [packet(1, &[1]), packet(2, &column), packet(3, b"\xfe\0\0\x02\0"), packet(4, &row), packet(5, b"\xfe\0\0\x02\0")]
        .concat()
}

#[tokio::test]
async fn a_query_may_only_read_and_ends_before_we_do() {
    for (version, limit) in
        [("8.0.36", "set max_execution_time = "), ("5.5.5-10.11.6-MariaDB", "set max_statement_time = ")]
    {
        let banner = greeting(version, false, SHA2);
        let row = one_row("lag", "7");
        let proven = [packet(2, &[1, 3]), fine(3)].concat();
        let answers: [(&[u8], &[u8]); 6] = [
            (SHA2_PROOF, &proven),
            (b"set session transaction read only", &fine(1)),
            (b"start transaction read only", &fine(1)),
            (b"set sql_select_limit = 1", &fine(1)),
            (limit.as_bytes(), &packet(1, b"\xff\xa9\x04#HY000Unknown system variable")),
            (b"select 7 as lag", &row),
        ];
        let target = Target::say(banner, &answers);
        let observation = ask(&format!(
            "{}\nexpect: {{ json: {{ lag: 7 }} }}",
            check(&target, &format!("{LOGIN}, query: select 7 as lag"))
        ))
        .await;
        assert_pass(&observation);
        let spoken = if version.contains("MariaDB") { "MariaDB 10.11.6" } else { "MySQL 8.0.36" };
        assert_eq!(observation.seen.protocol.as_deref(), Some(spoken));
    }
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_told_in_words_and_never_a_pass() {
    for (banner, code, text) in [
        (
            packet(0, b"\xff\x10\x04Too many connections"),
            ReasonCode::Rejected,
            "it has no connection left: Too many connections (1040)",
        ),
        (
            packet(0, b"\xff\x69\x04Host '10.0.0.9' is blocked because of many connection errors"),
            ReasonCode::Rejected,
            "it has blocked this machine after many broken connections: Host '10.0.0.9' is blocked because of many \
             connection errors (1129)",
        ),
        (packet(0, b"\x0aold\0"), ReasonCode::Protocol, "the greeting is not of MySQL"),
    ] {
        assert_fail(&ask(&check(&Target::say(banner, &[]), "")).await, code, text);
    }
    let refuses = Target::say(greeting("8.0.36", false, NATIVE), &[(NATIVE.as_bytes(), DENIED)]);
    assert_pass(&ask(&format!("{}\nexpect: {{ json: {{ version: 8.0.36 }} }}", check(&refuses, ""))).await);
    assert_fail(&ask(&check(&refuses, LOGIN)).await, ReasonCode::Auth, "it refuses name or password: no (1045)");
    let full = packet(2, b"\xff\x10\x04#08004Too many connections");
    let full = Target::say(greeting("8.0.36", false, NATIVE), &[(NATIVE.as_bytes(), &full)]);
    let text = "it has no connection left: Too many connections (1040)";
    assert_fail(&ask(&check(&full, "")).await, ReasonCode::Rejected, text);
    let wants_file = Target::say(
        greeting("8.0.36", false, NATIVE),
        &[(NATIVE.as_bytes(), &fine(2)), (b"set", &packet(1, b"\xfb/etc/passwd"))],
    );
    let text = "the query copies; write one that selects";
    assert_fail(&ask(&check(&wants_file, LOGIN)).await, ReasonCode::Rejected, text);
}

#[tokio::test]
async fn a_password_is_not_sent_where_it_could_be_read() {
    let wants_itself = packet(2, &[1, 4]);
    let clear = packet(2, b"\xfemysql_clear_password\0\0");
    for answer in [&wants_itself, &clear] {
        let target = Target::say(greeting("8.0.36", true, SHA2), &[(SHA2.as_bytes(), answer)]);
        let text = "it wants the password itself, which is sent over TLS only; write tls: {}";
        assert_fail(&ask(&check(&target, LOGIN)).await, ReasonCode::Auth, text);
        assert!(!String::from_utf8_lossy(&target.received()[0]).contains("hunter2"));
    }
    let other = packet(2, b"\xfeclient_ed25519\0salt");
    let target = Target::say(greeting("8.0.36", false, NATIVE), &[(NATIVE.as_bytes(), &other)]);
    let text = "it wants a way to sign in that is not known here (client_ed25519); let the user have one of \
                mysql_native_password, caching_sha2_password";
    assert_fail(&ask(&check(&target, LOGIN)).await, ReasonCode::Auth, text);
    let bare = Target::say(greeting("8.0.36", false, NATIVE), &[]);
    assert_fail(&ask(&check(&bare, ", tls: {}")).await, ReasonCode::Tls, "the server does not offer TLS");
    let early = Target::say([greeting("8.0.36", true, NATIVE), b"more".to_vec()].concat(), &[]);
    let text = "somebody spoke before TLS began";
    assert_fail(&ask(&check(&early, ", tls: {}")).await, ReasonCode::Protocol, text);
    let settings = format!("mysql: {{ address: 'x:1'{LOGIN} }}");
    assert!(!format!("{:?}", decode(&settings, PATIENT).unwrap()).contains("hunter2"));
}

#[tokio::test]
async fn over_tls_the_password_is_shown_if_the_proof_is_not_enough() {
    let authority = Authority::new();
    let certificate = authority.valid();
    let chain = CertificateDer::pem_slice_iter(certificate.pem().as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async { serve(listener.accept().await.unwrap().0, &acceptor).await };
    let (_file, trust) = trusting(&authority);
    let check =
        format!("mysql: {{ address: '{address}'{LOGIN}, tls: {{ {trust} }} }}\nexpect: {{ cert_valid_for: 1h }}");
    let (observation, ()) = tokio::join!(ask(&check), server);
    assert_pass(&observation);
}

/// MySQL 8 that has not seen this user since it started.
async fn serve(mut stream: TcpStream, acceptor: &TlsAcceptor) {
    stream.write_all(&greeting("8.0.36", true, SHA2)).await.unwrap();
    let mut wish = [0; 36];
    stream.read_exact(&mut wish).await.unwrap();
    assert_eq!(wish[3], 1);
    let mut stream = acceptor.accept(stream).await.unwrap();
    let row = one_row("read_only", "0");
    let talk: [(u8, &[u8], Vec<u8>); 7] = [
        (2, SHA2_PROOF, packet(3, &[1, 4])),
        (4, b"hunter2\0", fine(5)),
        (0, b"set session transaction read only", fine(1)),
        (0, b"start transaction read only", fine(1)),
        (0, b"limit", fine(1)),
        (0, b"time", fine(1)),
        (0, b"@@read_only", row),
    ];
    for (number, piece, answer) in talk {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], number);
        let mut body = vec![0; usize::from(head[0])];
        stream.read_exact(&mut body).await.unwrap();
        assert!(body.windows(piece.len()).any(|window| window == piece), "{body:?}");
        stream.write_all(&answer).await.unwrap();
    }
}
