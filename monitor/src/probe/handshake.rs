//! The TLS handshake of a probe: timed, with the presented chain kept, and failures in words a person can act on.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kit::clock::elapsed;
use kit::config::show_duration;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, CipherSuite, ClientConfig, Error, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::observation::{Outcome, Phase, ReasonCode};
use super::run::Run;
use super::tls_verify::{PRESENTED, Presented};

/// How long after the handshake a server may take to refuse our certificate; it needs one round trip.
const REFUSAL_WAIT: Duration = Duration::from_millis(250);

/// A connection after its handshake.
pub(super) struct Secured {
    pub(super) stream: Box<TlsStream<TcpStream>>,
    /// True if the server asked for a certificate of ours.
    asks_for_ours: bool,
}

impl Secured {
    /// Waits for the refusal that a TLS 1.3 server sends after the client's side of the handshake is over (RFC 8446
    /// section 4.4.3). Only for probes that read nothing themselves: what comes instead is lost.
    pub(super) async fn hear_refusal(&mut self, run: &mut Run) -> Result<(), Outcome> {
        if !self.asks_for_ours {
            return Ok(());
        }
        run.enter(Phase::Tls);
        let heard = tokio::time::timeout(REFUSAL_WAIT, self.stream.read(&mut [0])).await;
        run.leave();
        match heard {
            Ok(Err(error)) => Err(explain(&error, "the server", &Presented::default())),
            Ok(Ok(0)) => Err(Outcome::fail(ReasonCode::Reset, "connection closed right after the TLS handshake")),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}

/// What a handshake showed, for who looks at certificates themselves.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    /// What the server presented, the leaf first; also if it is not trusted.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// None if the handshake failed.
    pub(super) version: Option<ProtocolVersion>,
    /// None if the handshake failed.
    pub(super) cipher: Option<CipherSuite>,
}

/// Shakes hands; the chain's earliest expiry goes into [`Run::seen`] whether or not the chain is trusted.
///
/// # Cancel safety
/// Dropping the future closes the socket.
pub(super) async fn shake_hands(
    run: &mut Run,
    stream: TcpStream,
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
) -> Result<Secured, Outcome> {
    let (stream, asks_for_ours) = shake_hands_over(run, stream, config, name).await?;
    Ok(Secured { stream: Box::new(stream), asks_for_ours })
}

/// As [`shake_hands`], over any connection; also returns whether the server asked for a certificate of ours.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub(super) async fn shake_hands_over<S>(
    run: &mut Run,
    stream: S,
    config: &Arc<ClientConfig>,
    name: &ServerName<'static>,
) -> Result<(TlsStream<S>, bool), Outcome>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    run.enter(Phase::Tls);
    let connecting = TlsConnector::from(config.clone()).connect(name.clone(), stream);
    let presented = Presented { keeps_chain: run.keeps_chain, ..Presented::default() };
    let (result, mut presented) = PRESENTED
        .scope(RefCell::new(presented), async {
            let result = connecting.await;
            (result, PRESENTED.with(RefCell::take))
        })
        .await;
    run.leave();
    run.seen.note_expiry(presented.earliest);
    if run.keeps_chain {
        let connection = result.as_ref().ok().map(|stream| stream.get_ref().1);
        run.handshake = Some(Handshake {
            chain: std::mem::take(&mut presented.chain),
            version: connection.and_then(|connection| connection.protocol_version()),
            cipher: connection.and_then(|connection| Some(connection.negotiated_cipher_suite()?.suite())),
        });
    }
    match result {
        Ok(stream) => Ok((stream, presented.asks_for_ours)),
        Err(error) => Err(explain(&error, &name.to_str(), &presented)),
    }
}

/// Returns what TLS itself found wrong, if that is why reading or writing failed.
///
/// In TLS 1.3 a server refuses a client's certificate after the client's side of the handshake is over (RFC 8446
/// section 4.4.3), so the refusal comes with the first read.
pub(super) fn tls_cause(error: &io::Error) -> Option<Outcome> {
    let found = error.get_ref()?.downcast_ref::<Error>()?;
    let (code, text) = words(found, "the server", &Presented::default());
    Some(Outcome::fail(code, text))
}

fn explain(error: &io::Error, name: &str, presented: &Presented) -> Outcome {
    if let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) {
        let (code, text) = words(cause, name, presented);
        return Outcome::fail(code, text);
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Outcome::fail(ReasonCode::Reset, "connection reset in the TLS handshake")
        }
        io::ErrorKind::UnexpectedEof => Outcome::fail(ReasonCode::Reset, "connection closed in the TLS handshake"),
        _ => Outcome::fail(ReasonCode::Tls, format!("the TLS handshake failed: {error}")),
    }
}

fn words(error: &Error, name: &str, presented: &Presented) -> (ReasonCode, String) {
    match error {
        Error::InvalidCertificate(error) => {
            (ReasonCode::Certificate, certificate_words(error, name, presented, Timestamp::now()))
        }
        Error::NoCertificatesPresented => (ReasonCode::Certificate, "the server presented no certificate".to_owned()),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            (ReasonCode::Tls, "the server asks for a client certificate".to_owned())
        }
        Error::AlertReceived(alert) => {
            (ReasonCode::Tls, format!("the server ended the handshake: {}", alert_words(*alert)))
        }
        Error::PeerIncompatible(why) => (ReasonCode::Tls, format!("no TLS version or cipher in common: {why:?}")),
        Error::InvalidMessage(_) => (ReasonCode::Tls, "the server does not speak TLS on this port".to_owned()),
        Error::NoApplicationProtocol => (ReasonCode::Tls, "the server speaks none of the protocols offered".to_owned()),
        error => (ReasonCode::Tls, format!("the TLS handshake failed: {error}")),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "it does not accept our client certificate".to_owned()
        }
        AlertDescription::HandshakeFailure => "it found no common parameters, or wants a client certificate".to_owned(),
        AlertDescription::ProtocolVersion => "it does not speak the TLS versions offered".to_owned(),
        AlertDescription::UnrecognisedName => "it does not know the name asked for".to_owned(),
        AlertDescription::NoApplicationProtocol => "it speaks none of the protocols offered".to_owned(),
        alert => format!("{alert:?}"),
    }
}

fn certificate_words(error: &CertificateError, name: &str, presented: &Presented, now: Timestamp) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let of_leaf = presented.leaf.is_none_or(|leaf| leaf <= now);
            let which = if of_leaf { "certificate" } else { "a certificate further up the chain" };
            let ended = if of_leaf { presented.leaf } else { presented.earliest };
            match ended {
                Some(ended) => format!("{which} expired {} ago", show_span(now, ended)),
                None => format!("{which} has expired"),
            }
        }
        CertificateError::NotValidYetContext { not_before, .. } => match timestamp(*not_before) {
            Some(start) => format!("certificate becomes valid only in {}", show_span(start, now)),
            None => "certificate is not valid yet".to_owned(),
        },
        CertificateError::NotValidYet => "certificate is not valid yet".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = if presented.names.is_empty() { "no name".to_owned() } else { presented.names.join(", ") };
            format!("certificate is for {names}, not for {name}")
        }
        CertificateError::ApplicationVerificationFailure => "certificate is not the pinned one".to_owned(),
        _ if presented.self_signed => {
            "certificate is self-signed; trust it with tls.pin_sha256 or tls.ca_file".to_owned()
        }
        CertificateError::UnknownIssuer => {
            format!("certificate was issued by an unknown authority ({})", presented.issuer)
        }
        CertificateError::BadSignature => "certificate has a wrong signature".to_owned(),
        CertificateError::Revoked => "certificate was revoked".to_owned(),
        error => format!("certificate is wrong: {error}"),
    }
}

fn timestamp(time: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time.as_secs()).ok()?).ok()
}

/// Whole days from two on; before that hours and minutes matter.
fn show_span(later: Timestamp, earlier: Timestamp) -> String {
    let span = elapsed(earlier, later);
    let days = span.as_secs() / 86_400;
    if days >= 2 { format!("{days} days") } else { show_duration(span) }
}
