//! A TCP proxy before a server that can lose its answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

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

/// What becomes of answers from when a client has said this on.
type Awaited = Mutex<Option<(&'static str, Answers)>>;

pub(crate) struct Proxy {
    addr: SocketAddr,
    answers: Arc<watch::Sender<Answers>>,
    awaited: Arc<Awaited>,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(redis: &str) -> Self {
        Self::before(redis.trim_start_matches("redis://").trim_end_matches("/0")).await
    }

    /// Before whoever listens there.
    pub(crate) async fn before(to: &str) -> Self {
        let to = to.to_owned();
        let listener = TcpListener::bind(("127.0.0.1", free_port())).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let answers = Arc::new(watch::Sender::new(Answers::LedOn));
        let awaited = Arc::<Awaited>::default();
        let (of_each, to_each) = (Arc::clone(&answers), Arc::clone(&awaited));
        let serving = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&to).await.unwrap();
                tokio::spawn(lead(client, server, Arc::clone(&of_each), Arc::clone(&to_each)));
            }
        });
        Self { addr, answers, awaited, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.addr)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn cut_answers(&self) {
        self.answers.send_replace(Answers::Cut);
    }

    pub(crate) fn keep_answers(&self) {
        self.answers.send_replace(Answers::Kept);
    }

    /// Cuts them once a client has said this.
    pub(crate) fn cut_answers_to(&self, words: &'static str) {
        *self.awaited.lock().unwrap() = Some((words, Answers::Cut));
    }

    /// Keeps them once a client has said this.
    pub(crate) fn keep_answers_to(&self, words: &'static str) {
        *self.awaited.lock().unwrap() = Some((words, Answers::Kept));
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

async fn lead(client: TcpStream, server: TcpStream, answers: Arc<watch::Sender<Answers>>, awaited: Arc<Awaited>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = async {
        let mut bytes = vec![0; 65_536];
        loop {
            let count = from_client.read(&mut bytes).await?;
            if count == 0 {
                return Ok(());
            }
            let heard = |words: &str| bytes[..count].windows(words.len()).any(|part| part == words.as_bytes());
            if let Some((_, fate)) = awaited.lock().unwrap().take_if(|(words, _)| heard(words)) {
                answers.send_replace(fate);
            }
            to_server.write_all(&bytes[..count]).await?;
        }
    };
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
