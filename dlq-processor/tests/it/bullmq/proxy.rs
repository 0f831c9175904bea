//! A TCP proxy before Redis that can lose answers.

use std::net::SocketAddr;
use std::sync::Arc;

use testkit::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    LedOn,
    /// The connection ends in place of the first one.
    Cut,
    /// None comes, and the connection stays.
    Kept,
}

pub(crate) struct Proxy {
    addr: SocketAddr,
    answers: Arc<watch::Sender<Answers>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(redis: &str) -> Self {
        let to = redis.trim_start_matches("redis://").trim_end_matches("/0").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", free_port())).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let answers = Arc::new(watch::Sender::new(Answers::LedOn));
        let of_each = Arc::clone(&answers);
        let serving = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&to).await.unwrap();
                tokio::spawn(lead(client, server, Arc::clone(&of_each)));
            }
        });
        Self { addr, answers, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.addr)
    }

    pub(crate) fn cut_answers(&self) {
        self.answers.send_replace(Answers::Cut);
    }

    pub(crate) fn keep_answers(&self) {
        self.answers.send_replace(Answers::Kept);
    }

    pub(crate) fn lead_on(&self) {
        self.answers.send_replace(Answers::LedOn);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn lead(client: TcpStream, server: TcpStream, answers: Arc<watch::Sender<Answers>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    let answering = async {
        let mut bytes = vec![0; 65_536];
        loop {
            let count = from_server.read(&mut bytes).await?;
            let fate = *answers.borrow();
            match fate {
                _ if count == 0 => return Ok(()),
                Answers::LedOn => to_client.write_all(&bytes[..count]).await?,
                Answers::Cut => return Ok(()),
                Answers::Kept => {}
            }
        }
    };
    // Either end closes both.
    let _either: std::io::Result<()> = tokio::select! { ended = asking => ended, ended = answering => ended };
}
