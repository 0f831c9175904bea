//! `export`: letters with what they hold, a line of JSON for each.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use kit::cli::{AskError, complain};
use kit::exit;
use tokio::signal::unix::{SignalKind, signal};
use url::form_urlencoded::Serializer;

use super::client::Daemon;
use super::filter::FilterArguments;
use super::progress::Progress;
use super::render::counted;
use crate::letter_line::read_end;

const FORM: &str = "\
Examples:
  dlq-processor export --state parked --reason 'for the team of mails' | jq .data
  dlq-processor export --raw --to letters.jsonl --reason 'another machine'

The last line says how many letters there are: an export without it is not whole (exit 1). What `import` reads was written
with --raw.";

/// Writes letters with what they hold, a line of JSON for each, those first that were taken in first.
#[derive(Debug, clap::Args)]
#[command(after_help = FORM)]
pub(super) struct ExportCommand {
    /// Byte for byte, also what is hidden, for administrators.
    #[arg(long)]
    raw: bool,
    /// Into this file, which nobody else may read and which must not be there yet, instead of to standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Why; it is written down.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    filter: FilterArguments,
    #[command(flatten)]
    daemon: Daemon,
}

pub(super) async fn run(command: &ExportCommand) -> Result<ExitCode, AskError> {
    let refused = |path: &Path, error: io::Error| AskError::Refused(format!("{}: {error}", path.display()));
    let Some(path) = &command.to else {
        let mut lines = Lines::new(io::stdout().lock(), io::stdout().is_terminal());
        return match write(command, &mut lines).await {
            // `export | head` has what it wants.
            Err(_) if lines.nobody_reads => Ok(ExitCode::from(exit::YES)),
            written => written.map(|_letters| ExitCode::from(exit::YES)),
        };
    };
    if path.exists() {
        return Err(AskError::Refused(format!("{} is there already; name another file", path.display())));
    }
    let mut ends = signals().map_err(|error| AskError::Refused(format!("signals: {error}")))?;
    let part = PathBuf::from(format!("{}.part", path.display()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
    let file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => AskError::Refused(left_over(&part)),
        _ => refused(&part, error),
    })?;
    let mut lines = Lines::new(file, false);
    let written = tokio::select! {
        written = write(command, &mut lines) => written,
        () = &mut ends => Err(AskError::No(format!("the export was stopped; {} was not written", path.display()))),
    };
    let written = written.and_then(|letters| {
        let file = lines.into_inner().and_then(|file| file.sync_all());
        file.map(|()| letters).map_err(|error| refused(&part, error))
    });
    let letters = written.inspect_err(|_error| {
        let _it_may_be_gone = std::fs::remove_file(&part);
    })?;
    put_in_place(&part, path).map_err(|error| {
        AskError::Refused(format!("{}: {error}; what was exported is in {}", path.display(), part.display()))
    })?;
    let letters = counted(i64::try_from(letters).unwrap_or(i64::MAX), "letter");
    complain(format_args!("{letters} in {}", path.display()));
    Ok(ExitCode::from(exit::YES))
}

/// Ends when this process is told to: what is half written is removed then.
fn signals() -> io::Result<Pin<Box<dyn Future<Output = ()>>>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(Box::pin(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }))
}

/// What to do with a file that an export has left which was killed.
fn left_over(part: &Path) -> String {
    let part = part.display();
    format!(
        "{part} is there already: of an export that is under way, or of one that was killed; if none is, remove {part}"
    )
}

/// Gives a file its name, which is taken at that moment or was by somebody else: what he wrote there stays.
fn put_in_place(part: &Path, path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?;
    std::fs::rename(part, path).inspect_err(|_error| {
        let _it_is_empty = std::fs::remove_file(path);
    })
}

/// Writes all lines, and returns how many letters they are.
async fn write<W: Write>(command: &ExportCommand, lines: &mut Lines<W>) -> Result<u64, AskError> {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(command.filter.to_query());
    query.append_pair("reason", &command.reason);
    if command.raw {
        query.append_pair("raw", "true");
    }
    let path = format!("/api/v1/export?{}", query.finish());
    command.daemon.get_lines(&path, |line| lines.take(line)).await?;
    lines.finish()
}

/// Where lines are written.
struct Lines<W: Write> {
    to: BufWriter<W>,
    progress: Progress,
    letters: u64,
    /// What the last line said.
    end: Option<u64>,
    nobody_reads: bool,
}

impl<W: Write> Lines<W> {
    fn new(to: W, is_on_terminal: bool) -> Self {
        Self {
            to: BufWriter::new(to),
            progress: Progress::new(is_on_terminal),
            letters: 0,
            end: None,
            nobody_reads: false,
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<(), AskError> {
        if line.is_empty() {
            // It goes on.
            return Ok(());
        }
        let written = self.to.write_all(line).and_then(|()| self.to.write_all(b"\n"));
        written.map_err(|error| self.failed(&error))?;
        match read_end(line) {
            Some(letters) => self.end = Some(letters),
            None => self.letters += 1,
        }
        let letters = self.letters;
        self.progress.show(|| counted(i64::try_from(letters).unwrap_or(i64::MAX), "letter"));
        Ok(())
    }

    fn finish(&mut self) -> Result<u64, AskError> {
        self.to.flush().map_err(|error| self.failed(&error))?;
        if self.end != Some(self.letters) {
            let letters = counted(i64::try_from(self.letters).unwrap_or(i64::MAX), "letter");
            return Err(AskError::No(format!("the export was cut off after {letters}; export again")));
        }
        Ok(self.letters)
    }

    fn failed(&mut self, error: &io::Error) -> AskError {
        self.nobody_reads = error.kind() == ErrorKind::BrokenPipe;
        AskError::No(format!("cannot write what is exported: {error}"))
    }

    fn into_inner(self) -> io::Result<W> {
        self.to.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_has_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [part, path] = ["a.part", "a"].map(|name| folder.path().join(name));
        std::fs::write(&part, "ours").unwrap();
        std::fs::write(&path, "theirs").unwrap();
        assert_eq!(put_in_place(&part, &path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&part), read(&path)), ("ours".to_owned(), "theirs".to_owned()));
        std::fs::remove_file(&path).unwrap();
        put_in_place(&part, &path).unwrap();
        assert_eq!((part.exists(), read(&path)), (false, "ours".to_owned()));
    }

    #[test]
    fn an_export_without_its_last_line_or_with_less_than_it_says_is_cut_off() {
        let taken = |lines: &[&str]| {
            let mut export = Lines::new(Vec::new(), true);
            lines.iter().for_each(|line| export.take(line.as_bytes()).unwrap());
            let finished = export.finish();
            (finished, String::from_utf8(export.into_inner().unwrap()).unwrap())
        };
        let whole = taken(&["", "{\"id\":1}", "", "{\"end\":true,\"letters\":1}"]);
        assert_eq!(whole, (Ok(1), "{\"id\":1}\n{\"end\":true,\"letters\":1}\n".to_owned()));
        for cut in [&["{\"id\":1}"][..], &[], &["{\"id\":1}", "{\"end\":true,\"letters\":2}"]] {
            let error = taken(cut).0.unwrap_err();
            assert!(
                matches!(&error, AskError::No(why) if why.starts_with("the export was cut off after ")),
                "{error:?}"
            );
        }
    }
}
