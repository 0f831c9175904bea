//! `plan`: something is done with many letters. A plan is made first, which changes nothing, and then applied.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use kit::cli::{AskError, at, quoted, say, word};
use kit::exit;
use serde_json::{Value, json};

use super::client::{Because, Daemon, in_path};
use super::filter::{FilterArguments, in_data};
use super::plan_shown::{listed, made, progress};
use super::wait;
use crate::ledger::{Act, InData, Step};

#[derive(Debug, Subcommand)]
pub(super) enum PlanCommand {
    Make(Box<MakeCommand>),
    /// Lists plans, the newest first.
    Ls(Daemon),
    /// Shows a plan and how far it has come.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Begins to carry a plan out.
    Apply(StepCommand),
    /// Has a plan wait; what was not redriven yet is taken back.
    Pause(StepCommand),
    /// Goes on with a plan that was paused, or stopped since too much failed.
    Resume(StepCommand),
    /// Ends a plan; what was not redriven yet is taken back.
    Cancel(StepCommand),
}

/// Says what would be done with which letters, and freezes them. Nothing is done until the plan is applied.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dlq-processor plan make --act redrive --queue mails --class malformed \
                        --data /country=DE --rate 20/s --stop-on-failures 50% --reason 'addresses were mended'")]
pub(super) struct MakeCommand {
    /// What is done.
    #[arg(long, value_enum)]
    act: BulkAct,
    /// Redrives them into this queue, as other jobs, instead of where each failed.
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    draft: DraftArguments,
    #[command(flatten)]
    daemon: Daemon,
}

/// What may be done with many letters.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum BulkAct {
    /// They are redriven, each with all its tries.
    Redrive,
    /// They wait.
    Park,
    /// They are given up; what they held is kept.
    Discard,
}

/// Which letters, and how.
#[derive(Debug, clap::Args)]
pub(super) struct DraftArguments {
    /// Letters a second, at most, such as 20/s; otherwise as many as their queues bear.
    #[arg(long)]
    rate: Option<String>,
    /// Stops where this share of what was redriven fails again, such as 50%.
    #[arg(long)]
    stop_on_failures: Option<String>,
    /// The first that failed, so many at most.
    #[arg(long, value_name = "LETTERS", value_parser = clap::value_parser!(i64).range(1..))]
    max: Option<i64>,
    /// With this in their data: a JSON pointer, and what is there as JSON or as plain text.
    #[arg(long, value_name = "/POINTER=JSON", value_parser = in_data)]
    data: Option<InData>,
    #[command(flatten)]
    filter: FilterArguments,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  dlq-processor plan apply 0199… --reason 'addresses were mended' --wait")]
pub(super) struct StepCommand {
    /// The plan's id.
    id: String,
    #[command(flatten)]
    because: Because,
    /// Waits until the plan has ended: exit 1 if it was not carried out to its end.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    daemon: Daemon,
}

impl DraftArguments {
    /// Whether it names no letters.
    pub(super) fn is_about_all(&self) -> bool {
        self.data.is_none() && self.filter.to_query().is_empty()
    }

    /// Returns it as the API has it.
    fn to_json(&self, act: Act, to: Option<&str>, because: &Because) -> Value {
        let mut filter = self.filter.to_filter();
        filter.data = self.data.clone();
        json!({
            "filter": filter, "act": act.word(), "rate": self.rate, "stop_on_failures": self.stop_on_failures,
            "max": self.max, "to": to, "reason": because.reason(),
        })
    }
}

pub(super) async fn run(command: &PlanCommand) -> Result<ExitCode, AskError> {
    match command {
        PlanCommand::Make(command) => make_and_show(command).await,
        PlanCommand::Ls(daemon) => {
            let plans = daemon.get("/api/v1/plans").await?;
            daemon.show(&plans, || say(listed(&plans)));
            Ok(ExitCode::from(exit::YES))
        }
        PlanCommand::Show { id, daemon } => {
            let plan = daemon.get(&format!("/api/v1/plans/{}", in_path(id)?)).await?;
            daemon.show(&plan, || say(format_args!("{}\n{}", made(&plan), progress(&plan))));
            Ok(ExitCode::from(exit::YES))
        }
        PlanCommand::Apply(command) => take(command, Step::Apply).await,
        PlanCommand::Pause(command) => take(command, Step::Pause).await,
        PlanCommand::Resume(command) => take(command, Step::Resume).await,
        PlanCommand::Cancel(command) => take(command, Step::Cancel).await,
    }
}

async fn make_and_show(MakeCommand { act, to, because, draft, daemon }: &MakeCommand) -> Result<ExitCode, AskError> {
    let act = match act {
        BulkAct::Redrive => Act::Redrive,
        BulkAct::Park => Act::Park,
        BulkAct::Discard => Act::Discard,
    };
    let plan = make(daemon, draft, act, to.as_deref(), because).await?;
    daemon.show(&plan, || say(made(&plan)));
    Ok(ExitCode::from(exit::YES))
}

/// Makes a plan, and returns it with its key and with the command that applies it.
pub(super) async fn make(
    daemon: &Daemon,
    draft: &DraftArguments,
    act: Act,
    to: Option<&str>,
    because: &Because,
) -> Result<Value, AskError> {
    let (_, key) = because.settled();
    let mut plan = daemon.post("/api/v1/plans", &draft.to_json(act, to, because), &key).await?;
    let id = word(at(&plan, "plan"), "id").to_owned();
    let reason = quoted(because.reason());
    let apply = format!("dlq-processor plan apply {id} --reason {reason}{}", daemon.options());
    if let Some(plan) = plan.as_object_mut() {
        plan.insert("key".to_owned(), key.into());
        plan.insert("apply".to_owned(), apply.into());
    }
    Ok(plan)
}

async fn take(command: &StepCommand, step: Step) -> Result<ExitCode, AskError> {
    let StepCommand { id, because, wait, daemon } = command;
    let (body, key) = because.settled();
    take_step(daemon, id, step, &body, &key, *wait).await
}

/// Does a step with a plan, waits for its end if that is wanted, and shows it.
pub(super) async fn take_step(
    daemon: &Daemon,
    id: &str,
    step: Step,
    body: &Value,
    key: &str,
    waits: bool,
) -> Result<ExitCode, AskError> {
    let path = format!("/api/v1/plans/{}/{}", in_path(id)?, step.word());
    let mut plan = daemon.post(&path, body, key).await?;
    let code = if waits {
        plan = wait::until_ended(daemon, id).await?;
        wait::code(&plan)
    } else {
        exit::YES
    };
    if let Some(plan) = plan.as_object_mut() {
        plan.insert("key".to_owned(), key.into());
    }
    daemon.show(&plan, || say(format_args!("{}\nkey: {key}", progress(&plan))));
    Ok(ExitCode::from(code))
}
