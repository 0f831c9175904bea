//! Debian's PostgreSQL in a folder of its own, on loopback, for as long as one test runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::certificates::Certificate;
use crate::eventually;
use crate::port::free_port;
use crate::server::{Server, as_user, give};

/// Ten times what it takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A running server with the user `tester` and the database `postgres`. PostgreSQL refuses to run as root; its package
/// brings a user for it.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    server: Option<Server>,
    binaries: PathBuf,
    arguments: Vec<String>,
    _folder: TempDir,
}

impl Postgres {
    /// The password of `tester`.
    pub const PASSWORD: &str = "correct-horse";

    /// Makes a cluster, starts it, and waits until it takes logins (SCRAM).
    ///
    /// # Panics
    /// When PostgreSQL is not installed: then nothing was tested.
    pub async fn start() -> Self {
        Self::start_with("host all all 127.0.0.1/32 scram-sha-256", None).await
    }

    /// As [`Postgres::start`], with these lines of `pg_hba.conf`, and TLS if there is a certificate.
    pub async fn start_with(rules: &str, certificate: Option<&Certificate>) -> Self {
        let (binaries, folder, port) = (binaries(), tempfile::tempdir().expect("there is room"), free_port());
        let path = |name: &str| folder.path().join(name);
        let file = |name: &str, text: &str| {
            std::fs::write(path(name), text).expect("the folder is ours");
            if let Some(owner) = owner() {
                give(&path(name), owner);
            }
            path(name).display().to_string()
        };
        if let Some(owner) = owner() {
            give(folder.path(), owner);
        }
        make_cluster(&binaries, &path("data"), &file("password", Self::PASSWORD));
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "fsync=off".to_owned(),
            format!("port={port}"),
            format!("hba_file={}", file("rules", rules)),
        ];
        if let Some(certificate) = certificate {
            let (chain, key) = (file("chain.pem", certificate.pem()), file("key.pem", certificate.key_pem()));
            let closed = Command::new("chmod").args(["600", &key]).status();
            assert!(closed.is_ok_and(|status| status.success()), "the key is ours");
            settings.extend(["ssl=on".to_owned(), format!("ssl_cert_file={chain}"), format!("ssl_key_file={key}")]);
        }
        let arguments: Vec<String> = ["-D".to_owned(), path("data").display().to_string()]
            .into_iter()
            .chain(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]))
            .collect();
        let mut postgres = Self { port, server: None, binaries, arguments, _folder: folder };
        postgres.begin().await;
        postgres
    }

    /// Ends it at once, whoever is connected; what was committed is kept.
    pub fn end(&mut self) {
        self.server = None;
    }

    /// Starts it again at the same place, and waits until it takes logins.
    pub async fn begin(&mut self) {
        // Immediate shutdown (manual, section "Shutting Down the Server"): nobody waits for clients.
        let program = self.binaries.join("postgres");
        self.server = Some(Server::start_as(owner(), "QUIT", self.port, program, &self.arguments).await);
        eventually("PostgreSQL to take logins", LIMIT, async || self.try_sql("select 1")).await;
    }

    /// Holds it and all its processes where they stand: it answers nobody, and hangs up on nobody.
    pub fn hang(&self) {
        self.server.iter().for_each(Server::hang);
    }

    /// Lets it go on after [`Postgres::hang`].
    pub fn go_on(&self) {
        self.server.iter().for_each(Server::go_on);
    }

    /// Returns where it listens.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Returns the address with `tester` and the password in it.
    pub fn url(&self) -> String {
        format!("postgres://tester:{}@{}/postgres", Self::PASSWORD, self.addr())
    }

    /// Runs this as `tester`, through Debian's own client, and returns what it answers.
    ///
    /// # Panics
    /// If that fails.
    pub fn sql(&self, statement: &str) -> String {
        self.try_sql(statement).expect("the statement is right")
    }

    fn try_sql(&self, statement: &str) -> Option<String> {
        let mut client = Command::new(self.binaries.join("psql"));
        client.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, &self.url()]);
        let output = client.output().expect("the client comes with the server");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn make_cluster(binaries: &Path, data: &Path, password: &str) {
    let made = as_user(owner(), "QUIT")
        .arg(binaries.join("initdb"))
        .args(["--username=tester", "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync"])
        .arg(format!("--pwfile={password}"))
        .arg(format!("--pgdata={}", data.display()))
        .output()
        .expect("setpriv of util-linux is everywhere");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
}

/// Finds the newest version's programs; Debian keeps them out of the path.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let installed = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    let number = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    installed.max_by_key(number).expect("PostgreSQL is installed by compose/e2e/setup")
}

fn owner() -> Option<&'static str> {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0).then_some("postgres")
}
