//! Debian's Redis on loopback, for as long as one test runs.

use crate::port::free_port;
use crate::server::Server;

/// A running server without a password, that keeps nothing on the disk.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    server: Option<Server>,
}

impl Redis {
    /// Starts one, and waits until it listens.
    ///
    /// # Panics
    /// When Redis is not installed: then nothing was tested.
    pub async fn start() -> Self {
        let mut redis = Self { port: free_port(), server: None };
        redis.begin().await;
        redis
    }

    /// Returns where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Ends it; what it held is gone.
    pub fn end(&mut self) {
        self.server = None;
    }

    /// Starts it again at the same place.
    pub async fn begin(&mut self) {
        let port = self.port.to_string();
        let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", ""];
        self.server = Some(Server::start(self.port, "redis-server", &arguments).await);
    }
}
