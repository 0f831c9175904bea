//! Where mails are put in, and the worker that sends them.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use kit::backoff::Backoff;
use kit::chain::Chain;
use kit::clock::{elapsed, later};
use kit::config::show_duration;
use kit::db::{Source, open_postgres};
use kit::health::{Health, Need};
use kit::http::ApiError;
use kit::metrics::Metrics;
use kit::queue::{Job, JobFailure, Options, Queues, Worker, WorkerSettings};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::figures::{DROPPED, Figures, LATE, LOST, REFUSED, RETRIED, SENT, UNKNOWN};
use super::server::NotTaken;
use super::{Errand, MailSettings, Writer};

/// The queue, and the schema of all queues in PostgreSQL.
const QUEUE: &str = "mail";
const SCHEMA: &str = "jobs";
/// Its name in health.
const JOBS: &str = "jobs";
/// Mails that wait, at most. Ours: as many as a server takes in some hours.
const MAX_WAITING: u32 = 10_000;
/// Longest wait of a request for a mail to be put in.
const PUT_DEADLINE: Duration = Duration::from_secs(2);
/// Longest time to open the queues, and for each statement.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
const CONNECTIONS: u32 = 4;
/// Mails that are sent at once.
const AT_ONCE: u32 = 4;
/// Longest time for one try to send; the worker's own deadline comes after it.
const SEND_DEADLINE: Duration = Duration::from_secs(25);
/// Between two looks at the queue.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between tries to open the queues.
const RETRY: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };

/// Takes mails. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mail {
    office: Option<Arc<Office>>,
    figures: Figures,
}

struct Office {
    settings: MailSettings,
    queues: OnceCell<Queues>,
}

/// Why a mail was not put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotPut {
    /// There is no mail server.
    NotConfigured,
    /// The queue did not take it, which is logged and counted.
    Lost,
}

impl From<NotPut> for ApiError {
    fn from(why: NotPut) -> Self {
        let (text, code) = match why {
            NotPut::NotConfigured => {
                ("this server sends no mail; whoever runs it can set SMTP_URL and MAIL_FROM", "mail_not_configured")
            }
            NotPut::Lost => ("no mail can be sent now; try again soon", "mail_unavailable"),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text).code(code)
    }
}

impl Mail {
    /// Sends nothing before [`Self::run`].
    pub(crate) fn new(settings: Option<&MailSettings>, metrics: &Metrics) -> Self {
        let office = |settings: &MailSettings| Arc::new(Office { settings: settings.clone(), queues: OnceCell::new() });
        Self { office: settings.map(office), figures: Figures::new(metrics) }
    }

    /// Asks whether there is a mail server.
    ///
    /// # Errors
    /// [`NotPut::NotConfigured`].
    pub(crate) fn need(&self) -> Result<(), NotPut> {
        self.office.as_ref().map(|_office| ()).ok_or(NotPut::NotConfigured)
    }

    /// Puts a mail in, and returns once that would survive a power cut.
    ///
    /// # Errors
    /// See [`NotPut`].
    pub(crate) async fn put(&self, errand: &Errand) -> Result<(), NotPut> {
        let office = self.office.as_ref().ok_or(NotPut::NotConfigured)?;
        let put = match office.queues.get() {
            None => Err("the job store is not open yet".to_owned()),
            Some(queues) => {
                let key = errand.key();
                // Not the number of tries ends it, but their time.
                let (max_attempts, max_unfinished) = (NonZeroU32::MAX, Some(MAX_WAITING));
                let run_at = errand.waits().map(|wait| later(queues.now(), wait));
                let options = Options { run_at, key: Some(&key), max_attempts, max_unfinished, ..Options::default() };
                let queued =
                    queues.clone().with_deadline(PUT_DEADLINE).enqueue(QUEUE, errand.kind(), errand, options).await;
                queued.map(|_id| ()).map_err(|error| Chain(&error).to_string())
            }
        };
        put.map_err(|error| {
            tracing::warn!(mail.kind = errand.kind(), error, "a mail could not be put into the queue");
            self.figures.count(errand.kind(), LOST);
            NotPut::Lost
        })
    }

    /// Sends what was put in, once the queues are there, until `stop`; then the tries that run come to their end.
    ///
    /// # Cancel safety
    /// A mail whose try is dropped is tried again when its lease runs out, and may then come twice.
    pub(crate) async fn run<W: Writer>(&self, writer: Arc<W>, health: &Health, stop: CancellationToken) {
        let Some(office) = &self.office else { return };
        let opened = tokio::select! {
            () = stop.cancelled() => return,
            opened = office.open_at_last(health) => opened,
        };
        let settings = WorkerSettings {
            queues: vec![QUEUE.to_owned()],
            owner: format!("{}-{}", env!("CARGO_PKG_NAME"), std::process::id()),
            concurrency: AT_ONCE,
            ..WorkerSettings::default()
        };
        let (office, figures) = (office.clone(), self.figures.clone());
        let worker = Worker::new(opened.clone(), settings, move |job| {
            let (office, figures, writer) = (office.clone(), figures.clone(), writer.clone());
            async move { office.attend(&figures, &*writer, job).await }
        });
        tokio::select! {
            () = worker.run(stop) => {}
            () = self.look_for_ever(&opened, health) => {}
        }
        opened.close().await;
    }
}

impl Mail {
    /// Says again and again how the queue is.
    async fn look_for_ever(&self, queues: &Queues, health: &Health) {
        loop {
            let counted = queues.stats(QUEUE).await;
            if let Ok(stats) = &counted {
                self.figures.wait(stats.waiting + stats.scheduled + stats.running);
            }
            health.set(JOBS, Need::Soft, counted.map(|_stats| ()).map_err(|error| Chain(&error).to_string()));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Office {
    async fn open_at_last(&self, health: &Health) -> Queues {
        let mut failures = 0;
        loop {
            let opened = self.queues.get_or_try_init(|| open(&self.settings.jobs)).await;
            match opened {
                Ok(queues) => return queues.clone(),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error, "the job store cannot be opened yet");
                    health.set(JOBS, Need::Soft, Err(error));
                }
            }
            tokio::time::sleep(RETRY.delay(failures, rand::random())).await;
        }
    }

    /// Has one mail written and sent.
    async fn attend(&self, figures: &Figures, writer: &impl Writer, job: Job) -> Result<(), JobFailure> {
        let errand: Errand = match job.decode() {
            Ok(errand) => errand,
            Err(error) => {
                figures.count(UNKNOWN, REFUSED);
                return Err(JobFailure::Dead(format!("no mail is meant by this: {error}")));
            }
        };
        let kind = errand.kind();
        if elapsed(job.created_at, Timestamp::now()) >= errand.worth() {
            figures.count(kind, LATE);
            return Err(JobFailure::Dead(format!("not sent within {}", show_duration(errand.worth()))));
        }
        let tried = tokio::time::timeout(SEND_DEADLINE, self.try_to_send(writer, &errand, &job)).await;
        let late = || Err(JobFailure::Retry(format!("not sent within {}", show_duration(SEND_DEADLINE)), None));
        let tried = tried.unwrap_or_else(|_elapsed| late());
        match &tried {
            Ok(result) => figures.count(kind, result),
            Err(JobFailure::Retry(..)) => figures.count(kind, RETRIED),
            Err(JobFailure::Dead(_)) => figures.count(kind, REFUSED),
        }
        tried.map(|_result| ())
    }

    async fn try_to_send(&self, writer: &impl Writer, errand: &Errand, job: &Job) -> Result<&'static str, JobFailure> {
        let (id, again) = (job.claim.id, |problem| JobFailure::Retry(Chain(&problem).to_string(), None));
        let Some(letter) = writer.write(errand, id).await.map_err(again)? else { return Ok(DROPPED) };
        let mail = letter.compose(&self.settings.from, id).map_err(JobFailure::Dead)?;
        match self.settings.server.send(mail).await {
            Ok(()) => Ok(SENT),
            Err(why @ NotTaken::Failed(_)) => Err(JobFailure::Retry(why.to_string(), None)),
            Err(why @ NotTaken::Refused(_)) => Err(JobFailure::Dead(why.to_string())),
        }
    }
}

async fn open(jobs: &Source) -> Result<Queues, String> {
    let opened = match jobs {
        Source::Sqlite(path) => Queues::sqlite(path).await,
        Source::Postgres(url) => {
            let pool = open_postgres(url, CONNECTIONS, OPEN_DEADLINE).await;
            Queues::postgres(pool.map_err(|error| Chain(&error).to_string())?, SCHEMA).await
        }
    };
    opened.map_err(|error| Chain(&error).to_string())
}
