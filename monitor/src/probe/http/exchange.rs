//! One request and its answer on one connection, over HTTP/1.1 or HTTP/2.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use crate::probe::observation::{Outcome, Phase};
use crate::probe::run::Run;
use crate::probe::stream::Stream;

use super::failure::before_head;
use super::heard::{Beginning, Heard};

/// Largest head of an answer, in bytes; browsers and proxies give up at 8 to 256 KiB.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most headers of an answer: hyper's default, at which it keeps them on the stack.
pub(super) const MAX_HEADERS: usize = 100;

/// A connection whose answer is being read.
pub(in crate::probe) struct Exchange {
    connection: Option<BoxFuture<'static, ()>>,
    pub(in crate::probe) beginning: Arc<Beginning>,
    /// Dropping the sender would end the connection while the answer still comes.
    _sender: Sender,
    tasks: TasksOfOne,
}

enum Sender {
    None,
    One(#[expect(dead_code, reason = "held so that the connection stays")] http1::SendRequest<Full<Bytes>>),
    Two(#[expect(dead_code, reason = "held so that the connection stays")] http2::SendRequest<Full<Bytes>>),
}

impl Exchange {
    /// Sends the request and waits for the head of the answer.
    pub(in crate::probe) async fn start(
        run: &mut Run,
        stream: Stream,
        request: Request<Full<Bytes>>,
        two: bool,
    ) -> Result<(Response<Incoming>, Self), Outcome> {
        run.enter(Phase::FirstByte);
        let (heard, beginning) = Heard::new(stream, two);
        let io = TokioIo::new(heard);
        let mut exchange = Self { connection: None, beginning, _sender: Sender::None, tasks: TasksOfOne::default() };
        let answered =
            if two { exchange.send_two(run, io, request).await } else { exchange.send_one(run, io, request).await };
        match answered {
            Ok(response) => {
                if run.current() == Some(Phase::FirstByte) {
                    run.enter(Phase::Transfer);
                }
                Ok((response, exchange))
            }
            Err(error) => Err(before_head(&error, &exchange.beginning)),
        }
    }

    async fn send_one(
        &mut self,
        run: &mut Run,
        io: TokioIo<Heard>,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let (mut sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(io).await?;
        self.connection = Some(connection.map(drop).boxed());
        let response = self.drive(run, sender.send_request(request)).await;
        self._sender = Sender::One(sender);
        response
    }

    async fn send_two(
        &mut self,
        run: &mut Run,
        io: TokioIo<Heard>,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut builder = http2::Builder::new(self.tasks.0.clone());
        let head_bytes = u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX);
        let (mut sender, connection) = builder.max_header_list_size(head_bytes).handshake(io).await?;
        self.connection = Some(connection.map(drop).boxed());
        let response = self.drive(run, sender.send_request(request)).await;
        self._sender = Sender::Two(sender);
        response
    }

    /// Runs the connection beside `step`, and begins the next phase with the first byte of the answer.
    pub(in crate::probe) async fn drive<T>(&mut self, run: &mut Run, step: impl Future<Output = T>) -> T {
        let mut step = pin!(step);
        poll_fn(|cx| {
            let ended = self.connection.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready());
            if ended {
                self.connection = None;
            }
            // The first bytes of HTTP/2 are the server's settings, which answer nothing.
            if !self.beginning.two && run.current() == Some(Phase::FirstByte) && self.beginning.bytes.get().is_some() {
                run.enter(Phase::Transfer);
            }
            step.as_mut().poll(cx)
        })
        .await
    }
}

/// What HTTP/2 wants to run on its own; [`TasksOfOne`] ends it with the probe.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl<T> hyper::rt::Executor<T> for Tasks
where
    T: Future + Send + 'static,
    T::Output: Send,
{
    fn execute(&self, task: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spawn(task.map(drop));
    }
}

/// The owner of [`Tasks`]: a task may hold the set that holds it, so the set is emptied by hand.
#[derive(Default)]
struct TasksOfOne(Tasks);

impl Drop for TasksOfOne {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}
