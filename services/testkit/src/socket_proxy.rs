//! A real HAProxy before an engine's socket that lets others read and do nothing else, as socket proxies in use do.
//!
//! It needs Debian's `haproxy`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::docker::DockerEngine;
use crate::eventually;
use crate::port::free_port;

/// It starts in a tenth of a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running proxy. It ends when dropped.
#[derive(Debug)]
pub struct SocketProxy {
    daemon: Child,
    port: u16,
    folder: TempDir,
}

impl SocketProxy {
    /// Starts one that lets GET and HEAD through, and answers anything else with 403. Each path that begins with one of
    /// `forbidden`, behind the version, is refused as well.
    pub async fn start(engine: &DockerEngine, forbidden: &[&str]) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("there is room for a folder"), free_port());
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config(folder.path(), engine, forbidden, port)).expect("the folder is ours");
        let log = std::fs::File::create(folder.path().join("log")).expect("the folder is ours");
        let mut daemon = Command::new("setpriv");
        daemon.args(["--pdeathsig", "KILL", "--", "/usr/sbin/haproxy", "-db", "-f"]).arg(file);
        let daemon = daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let proxy = Self { daemon: daemon.expect("setpriv of util-linux is everywhere"), port, folder };
        let listens = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
        eventually("haproxy to listen; compose/e2e/setup installs it", START_LIMIT, listens).await;
        proxy
    }

    /// Cuts off every stream of events, as it does by itself when nothing has come for some minutes.
    pub fn cut_off_streams(&self) {
        self.say("shutdown sessions server events/engine");
    }

    /// Returns how many streams of events there have been.
    pub fn streams(&self) -> u64 {
        let table = self.say("show stat events 4 -1");
        let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let (names, values) = (rows.next().unwrap_or_default(), rows.next().unwrap_or_default());
        // "Cumulative number of sessions" (HAProxy's management guide, 9.1).
        let total = names.into_iter().zip(values).find(|(name, _)| *name == "stot");
        total.and_then(|(_, total)| total.parse().ok()).expect("haproxy counts them")
    }

    /// Sends a command to its admin socket and returns the answer.
    fn say(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.folder.path().join("admin")).expect("haproxy runs");
        socket.write_all(format!("{command}\n").as_bytes()).expect("it listens");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("it answers in text");
        answer
    }

    /// Returns its address, `tcp://…`.
    pub fn address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }
}

impl Drop for SocketProxy {
    fn drop(&mut self) {
        let _killed = self.daemon.kill();
        let _reaped = self.daemon.wait();
    }
}

/// The rules of the proxy that most put there (Tecnativa's docker-socket-proxy, `haproxy.cfg`), as far as they matter here.
fn config(folder: &Path, engine: &DockerEngine, forbidden: &[&str], port: u16) -> String {
    let path = |path: &str| format!("{{ path,url_dec -m reg -i ^(/v[0-9.]+)?{path} }}");
    let denied: String = forbidden.iter().map(|name| format!("  http-request deny if {}\n", path(name))).collect();
    let server = format!("  server engine {}\n", engine.address().replace("unix://", "unix@"));
    let admin = folder.join("admin");
    format!(
        "global\n  maxconn 200\n  stats socket {} level admin\n\
         defaults\n  mode http\n  option http-server-close\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n\
         frontend readers\n  bind 127.0.0.1:{port}\n  http-request deny unless METH_GET\n{denied}\
         \x20 use_backend events if {}\n  default_backend engine\n\
         backend engine\n{server}backend events\n{server}",
        admin.display(),
        path("/events")
    )
}
