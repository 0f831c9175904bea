//! Mail to people: put into a queue that outlives the process, written and sent by a worker. The queue holds no secret: what
//! a mail carries is made when it is written.

mod errand;
mod figures;
mod letter;
mod office;
mod place;
mod server;
mod settings;

use kit::queue::JobId;

pub(crate) use errand::Errand;
pub(crate) use letter::Letter;
pub(crate) use office::Mail;
pub(crate) use settings::MailSettings;

use crate::problem::Problem;

/// Writes mails.
pub(crate) trait Writer: Send + Sync + 'static {
    /// Writes what a job asks for; none if there is nobody to write to any more. A job that is tried again gets the same
    /// mail.
    fn write(&self, errand: &Errand, job: JobId) -> impl Future<Output = Result<Option<Letter>, Problem>> + Send;
}
