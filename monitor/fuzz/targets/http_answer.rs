//! Any bytes as what a server sends to a check of kind `http`, or to blackbox_exporter's prober. Never: a panic; a wait for more
//! once the server has closed; a pass of what is no HTTP, has no expected status, or ends too early; more memory or time for what
//! unpacks to much.
//!
//! The first byte says who asks: bit 0 HTTP/2, bit 1 the body is looked at, bit 2 few bytes of it are read, bit 3 redirects
//! are followed, bit 4 the answer comes in pieces; with bit 5 the prober asks, and bits 2 and 3 say gzip and deflate.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use kit::config::{Cursor, Environment, Mistakes, Node};
use libfuzzer_sys::{Corpus, fuzz_target};
use monitor::Kinds;
use monitor::probe::blackbox::{Modules, Targets, Wish, probe};
use monitor::probe::{CheckId, Detour, Outcome, Question, Vantage, decode_question, observe_by};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const TWO: u8 = 1;
const LOOKS: u8 = 2;
const LITTLE: u8 = 4;
const FOLLOWS: u8 = 8;
const PIECES: u8 = 16;
const PROBER: u8 = 32;
/// Far more than an answer takes that is there already.
const TIMEOUT: Duration = Duration::from_secs(4);

struct World {
    runtime: Runtime,
    vantage: Arc<Vantage>,
    listener: TcpListener,
    questions: Vec<Question>,
    modules: Modules,
    targets: Arc<Targets>,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fuzz_target!(init: monitor_fuzz::begin(), |bytes: &[u8]| -> Corpus {
    let Some((mode, sent)) = bytes.split_first() else { return Corpus::Reject };
    if mode & FOLLOWS != 0 && mode & PROBER == 0 && !stays_here(sent, mode & TWO != 0) {
        return Corpus::Reject;
    }
    let (passes, is_cut) = WORLD.runtime.block_on(async {
        tokio::select! {
            biased;
            passes = WORLD.ask(*mode) => passes,
            () = WORLD.serve(sent, mode & PIECES != 0) => unreachable!("a server that ends"),
        }
    });
    if passes {
        let is_two = mode & TWO != 0 && mode & PROBER == 0;
        let can = if is_two { has_ended_two(sent) || is_cut } else { is_plausible(sent, mode & FOLLOWS != 0 && mode & PROBER == 0, is_cut) };
        assert!(can, "passes: {:?}", String::from_utf8_lossy(sent));
    }
    Corpus::Keep
});

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("0.0.0.0:0")).expect("a free port");
        let _inside = runtime.enter();
        Self {
            vantage: Arc::new(Vantage::of_system().expect("a resolver")),
            questions: (0..16).map(question).collect(),
            modules: decoded(MODULES, |cursor| Modules::decode(cursor, &Environment::default())),
            targets: Arc::new(decoded("[127.0.0.0/8]", Targets::decode)),
            listener,
            runtime,
        }
    }

    /// Asks the server, and returns whether it passes, and whether the answer was cut by us.
    async fn ask(&self, mode: u8) -> (bool, bool) {
        // One address would run out of ports: closed connections keep theirs for a minute.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed) % (1 << 23);
        let address = IpAddr::from(Ipv4Addr::from_bits(u32::from_be_bytes([127, 1, 0, 1]) + number));
        let to = SocketAddr::new(address, self.listener.local_addr().expect("a listener").port());
        if mode & PROBER != 0 {
            let name = ["plain", "gzip", "deflate", "plain"][usize::from(mode / LITTLE % 4)];
            let module = self.modules.find(name).expect("a module");
            let wish = Wish { target: to.to_string(), hostname: None, timeout: TIMEOUT };
            let probed = probe(module, wish, self.targets.clone(), self.vantage.clone()).await;
            assert!(probed.took < TIMEOUT, "waits for more: {:?}", probed.reason);
            assert!(probed.success == probed.reason.is_none(), "{:?}", probed.reason);
            return (probed.success, false);
        }
        let question = &self.questions[usize::from(mode % 16)];
        let from = question.probe.connects_to().expect("an address");
        let way = [(SocketAddr::from(([127, 0, 0, 1], 9)), to)];
        let detour = Detour::around(from, None, way).expect("a way around");
        let observation = observe_by(detour, self.vantage.clone(), question).await;
        assert!(observation.took < TIMEOUT, "waits for more: {:?}", observation.outcome);
        let note = observation.seen.note.unwrap_or_default();
        (observation.outcome == Outcome::Pass, note.contains("answer cut at"))
    }

    async fn serve(&self, sent: &[u8], in_pieces: bool) {
        loop {
            if let Ok((stream, _)) = self.listener.accept().await {
                let _gone = answer(stream, sent, in_pieces).await;
            }
        }
    }
}

/// Sends everything, closes, and listens to the end: what is left unread would reset the connection.
async fn answer(mut stream: TcpStream, sent: &[u8], in_pieces: bool) -> std::io::Result<()> {
    let _timing_only = stream.set_nodelay(true);
    let mut heard = [0; 4096];
    if stream.read(&mut heard).await? == 0 {
        return Ok(());
    }
    let size = if in_pieces { sent.len() / 8 + 1 } else { sent.len().max(1) };
    for piece in sent.chunks(size) {
        stream.write_all(piece).await?;
        tokio::task::yield_now().await;
    }
    stream.shutdown().await?;
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

const MODULES: &str = "
plain: { prober: http, http: { follow_redirects: false, fail_if_body_not_matches_regexp: [fine] } }
gzip: { prober: http, http: { follow_redirects: false, compression: gzip, fail_if_body_not_matches_regexp: [fine] } }
deflate: { prober: http, http: { follow_redirects: false, compression: deflate, body_size_limit: 1MB } }
";

fn question(mode: u8) -> Question {
    let has = |bit, yes, no| if mode & bit != 0 { yes } else { no };
    let version = has(TWO, "2", "1.1");
    let limit = has(LITTLE, "64", "100000");
    let redirects = has(FOLLOWS, "3", "none");
    let expect = has(LOOKS, "{ body_contains: fine }", "{ status: 200-299 }");
    let yaml = format!(
        "http: {{ url: 'http://127.0.0.1:9/', http: '{version}', body_limit: {limit}, redirects: {redirects} }}\nexpect: {expect}"
    );
    let kinds = Kinds::standard();
    decoded(&yaml, |cursor| {
        Some(decode_question(cursor.fields()?, CheckId::new("fuzz", "probe"), TIMEOUT, &kinds, &[])?.0)
    })
}

fn decoded<T>(yaml: &str, decode: impl FnOnce(&Cursor<'_>) -> Option<T>) -> T {
    let node = Node::parse("target", yaml).expect("YAML");
    let mistakes = Mistakes::default();
    decode(&Cursor::top(&node, &mistakes)).unwrap_or_else(|| panic!("{:?}", mistakes.into_sorted()))
}

/// Returns whether every redirect leads to a path of the same server: no input may lead elsewhere.
fn stays_here(sent: &[u8], two: bool) -> bool {
    let text = String::from_utf8_lossy(sent).to_lowercase();
    let is_path = |after: &str| {
        let value = after.strip_prefix(": /").and_then(|rest| rest.split_once("\r\n"));
        value.is_some_and(|(path, _)| path.chars().all(|c| c.is_ascii_alphanumeric()))
    };
    !two && text.split("location").skip(1).all(is_path)
}

/// Returns whether this can be a whole answer of HTTP/1 with a status that passes; doubtful ones can.
fn is_plausible(sent: &[u8], follows: bool, is_cut: bool) -> bool {
    let sent = sent.trim_ascii_start();
    let ends = [b"\n\r\n".as_slice(), b"\n\n"];
    let body = (0..sent.len()).find_map(|at| ends.iter().find_map(|end| sent[at..].strip_prefix(*end)));
    let Some(body) = body else { return false };
    let head = String::from_utf8_lossy(&sent[..sent.len() - body.len()]);
    let (Some(status), true) =
        (head.get(9..12).and_then(|status| status.parse::<u16>().ok()), head.starts_with("HTTP/1."))
    else {
        return false;
    };
    if (100..=199).contains(&status) || follows {
        return true;
    }
    let named = |name: &str| {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect::<Vec<_>>()
    };
    let is_whole = match (named("transfer-encoding").as_slice(), named("content-length").as_slice()) {
        // A body that comes in chunks ends with one of no bytes.
        ([coding], []) if *coding == "chunked" => has_last_chunk(body),
        ([], [length]) if status != 204 => length.parse::<usize>().is_ok_and(|length| body.len() >= length),
        _ => true,
    };
    (200..=299).contains(&status) && (is_whole || is_cut)
}

/// Returns whether some line can be the size of a chunk of no bytes (RFC 9112 section 7.1).
fn has_last_chunk(body: &[u8]) -> bool {
    let size = |line: &[u8]| line.iter().take_while(|byte| **byte == b'0').count();
    let ends = |line: &[u8], zeros: usize| matches!(line.get(zeros), None | Some(b'\r' | b';' | b' ' | b'\t'));
    body.split(|byte| *byte == b'\n').any(|line| size(line) > 0 && ends(line, size(line)))
}

/// Returns whether a frame of HTTP/2 ends the first stream (RFC 9113 sections 4.1, 6.1 and 6.2).
fn has_ended_two(mut sent: &[u8]) -> bool {
    while let Some((&[a, b, c, kind, flags, s1, s2, s3, s4], rest)) = sent.split_first_chunk::<9>() {
        let stream = u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]);
        if stream == 1 && kind <= 1 && flags & 1 != 0 {
            return true;
        }
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some(rest) = rest.get(length..) else { return false };
        sent = rest;
    }
    false
}
