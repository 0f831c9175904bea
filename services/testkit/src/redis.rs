//! Debian's Redis, or a newer Valkey, on loopback, for as long as one test runs.

use std::fs::OpenOptions;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::eventually;
use crate::installed::installed;
use crate::port::free_port;
use crate::server::Server;

/// It is there within a tenth of a second, and reads a disk of some megabytes in one.
const LIMIT: Duration = Duration::from_secs(60);

/// A running server without a password.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    port: u16,
    disk: Option<Disk>,
    server: Option<Server>,
}

/// Where it keeps what it holds, and how soon that is there.
#[derive(Debug)]
struct Disk {
    folder: TempDir,
    appendfsync: &'static str,
}

impl Redis {
    /// Starts one that keeps nothing on the disk, and waits until it listens.
    ///
    /// # Panics
    /// When Redis is not installed: then nothing was tested.
    pub async fn start() -> Self {
        Self::start_as("redis-server".into(), None).await
    }

    /// Starts one that writes an append-only file, `always` or `everysec`, and waits until it listens. It ends as by kill -9.
    ///
    /// # Panics
    /// When Redis is not installed: then nothing was tested.
    pub async fn start_on_disk(appendfsync: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        Self::start_as("redis-server".into(), Some(Disk { folder, appendfsync })).await
    }

    /// As [`Self::start_on_disk`], of the release of Valkey that PyPI has.
    ///
    /// # Panics
    /// When it is not installed: then nothing was tested.
    pub async fn start_valkey_on_disk(appendfsync: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        Self::start_as(installed("e2e-venv/bin/valkey-server"), Some(Disk { folder, appendfsync })).await
    }

    async fn start_as(program: PathBuf, disk: Option<Disk>) -> Self {
        let mut redis = Self { program, port: free_port(), disk, server: None };
        redis.begin().await;
        redis
    }

    /// Returns where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Ends it; what it held and is not on the disk is gone.
    pub fn end(&mut self) {
        self.server = None;
    }

    /// Returns how many bytes it has written to its append-only file.
    ///
    /// # Panics
    /// When it writes none.
    pub fn written(&self) -> u64 {
        let (_, len) = self.newest_file();
        len
    }

    /// Ends it as a machine does that loses power: of its append-only file no more than so many bytes were on the disk.
    ///
    /// # Panics
    /// When it writes none.
    pub fn end_without(&mut self, beyond: u64) {
        self.end();
        let (path, _) = self.newest_file();
        let file = OpenOptions::new().write(true).open(path).expect("Redis has ended");
        file.set_len(beyond).expect("a file can be shorter");
    }

    /// The one that it appends to (redis.io/docs/latest/operate/oss_and_stack/management/persistence, "Log rewriting"), and its
    /// length.
    fn newest_file(&self) -> (PathBuf, u64) {
        let folder = self.disk.as_ref().expect("it writes a file").folder.path().join("appendonlydir");
        let files = folder.read_dir().expect("Redis writes at its start").flatten();
        let of_commands = files.filter(|file| file.path().to_string_lossy().ends_with(".incr.aof"));
        let newest = of_commands.max_by_key(|file| file.file_name()).expect("Redis appends");
        (newest.path(), newest.metadata().expect("it is there").len())
    }

    /// Starts it again at the same place.
    pub async fn begin(&mut self) {
        let port = self.port.to_string();
        let mut arguments = vec!["--port", &port, "--bind", "127.0.0.1", "--save", ""];
        let mut signal = "TERM";
        if let Some(Disk { folder, appendfsync }) = &self.disk {
            let folder = folder.path().to_str().expect("a folder for temporary files has a plain name");
            arguments.extend(["--dir", folder, "--appendonly", "yes", "--appendfsync", appendfsync]);
            signal = "KILL";
        }
        self.server = Some(Server::start_as(None, signal, self.port, &self.program, &arguments).await);
        // It listens before it has read its disk.
        eventually("Redis to answer", LIMIT, async || self.pings().await.filter(|answer| answer == b"+PONG\r\n")).await;
    }

    async fn pings(&self) -> Option<[u8; 7]> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.ok()?;
        connection.write_all(b"PING\r\n").await.ok()?;
        let mut answer = [0; 7];
        connection.read_exact(&mut answer).await.ok().map(|_| answer)
    }
}
