//! What a health check's command does, as far as its text tells: whether it can fail, and whether it asks anything.

use super::shell::{Step, line_of, steps};

/// What a health check runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckCommand {
    /// A program, started without a shell.
    Program(Vec<String>),
    /// A line for the image's shell.
    Shell(String),
}

impl CheckCommand {
    /// Reads the form that Docker keeps: `CMD` and words, `CMD-SHELL` and a line, or words alone; none if nothing is run.
    pub fn of(test: &[String]) -> Option<Self> {
        match test.split_first() {
            Some((first, rest)) if first == "CMD-SHELL" => Some(Self::Shell(rest.join(" "))),
            Some((first, rest)) if first == "CMD" => Some(Self::Program(rest.to_vec())),
            Some((first, _)) if first != "NONE" => Some(Self::Program(test.to_vec())),
            _ => None,
        }
    }

    /// Returns the whole command as one line.
    pub fn line(&self) -> String {
        match self {
            Self::Program(words) => line_of(words),
            Self::Shell(line) => line.clone(),
        }
    }

    /// Returns true if a shell is started, by the runtime or by the command itself.
    pub fn uses_shell(&self) -> bool {
        matches!(self, Self::Shell(_)) || self.shell_words().is_some()
    }

    /// Returns the programs that are started, whoever starts them.
    pub(crate) fn steps(&self) -> Vec<Step> {
        match self.shell_words() {
            Some(line) => steps(line),
            None => steps(&self.line()),
        }
    }

    /// Returns the line behind `sh -c`.
    fn shell_words(&self) -> Option<&str> {
        let Self::Program(words) = self else { return None };
        let shell = words.first()?.rsplit('/').next()?;
        let is_shell = matches!(shell, "sh" | "bash" | "ash" | "dash");
        let at = words.iter().position(|word| word.starts_with('-') && word.ends_with('c'))?;
        if is_shell { words.get(at + 1).map(String::as_str) } else { None }
    }

    /// Returns the text that is looked for in the list of processes, if it stands in the command's own line there.
    pub fn finds_itself(&self) -> Option<String> {
        let (steps, by_shell) = (self.steps(), self.uses_shell());
        let takes_itself_out = steps.iter().any(|step| {
            step.program() == Some("grep")
                && step.words.iter().any(|word| word == "-v")
                && step.words.contains(&"grep".to_owned())
        });
        steps.iter().enumerate().find_map(|(index, step)| {
            let pattern = step.words.iter().skip(1).rfind(|word| !word.starts_with('-') && !word.starts_with('>'))?;
            let is_bracketed = pattern.contains('[');
            let before = index.checked_sub(1).and_then(|before| steps.get(before));
            let after_ps = step.joined_by == "|" && before.and_then(Step::program) == Some("ps");
            // `grep -v grep` takes the shell out too, in whose line it stands.
            let greps = step.program() == Some("grep") && after_ps && !takes_itself_out;
            let whole_line = step.words.iter().any(|word| word.starts_with('-') && word.contains('f'));
            // pgrep leaves itself out, but not the shell: Debian's (dash 0.5.12) stays there even if it has nothing else to do.
            let pgreps = step.program() == Some("pgrep") && whole_line && by_shell;
            (!is_bracketed && (greps || pgreps)).then(|| pattern.clone())
        })
    }

    /// Returns true if it always ends with 0.
    pub fn never_fails(&self) -> bool {
        let (steps, code) = (self.steps(), self.line());
        let Some(last) = steps.last() else { return false };
        let words: Vec<&str> = last.words.iter().map(String::as_str).collect();
        let ends_well = match words.as_slice() {
            ["true" | ":", ..] | ["exit"] | ["exit", "0"] => true,
            ["echo" | "printf", ..] => last.joined_by != "&&",
            _ => false,
        };
        // Behind `&&` it only runs if what stands before it passed; a bare `exit` hands on how that ended.
        let is_alone = steps.len() == 1;
        let hands_on = words == ["exit"] && !is_alone;
        let fails_before =
            steps.iter().any(|step| matches!(step.words.as_slice(), [exit, code] if exit == "exit" && code != "0"));
        let hides = ends_well && !hands_on && !fails_before && (last.joined_by != "&&" || is_alone);
        let exits_well = ["sys.exit(0)", "process.exit(0)", "os._exit(0)"].iter().any(|exit| code.contains(exit));
        let can_raise = ["sys.exit(1)", "process.exit(1)", "urlopen", "raise", "assert", "connect(", "process.exit(r"];
        let code_hides = exits_well && !can_raise.iter().any(|word| code.contains(word))
            || code.contains("except") && exits_well && !code.contains("exit(1)") && !code.contains("raise");
        hides || code_hides
    }

    /// Returns true if it runs curl, which ends with 0 on every answer unless it is told to fail, and nothing reads that.
    pub fn ignores_status(&self) -> bool {
        let steps = self.steps();
        let Some(index) = steps.iter().position(|step| step.program() == Some("curl")) else { return false };
        let fails = |word: &String| {
            word.starts_with("--fail") || word.starts_with('-') && !word.starts_with("--") && word.contains('f')
        };
        // What reads the answer, such as `| grep`, decides.
        let is_read = steps.get(index + 1).is_some_and(|next| next.joined_by == "|") || self.line().contains("$(");
        let step = steps.get(index);
        !is_read && !step.is_some_and(|step| step.words.iter().skip(1).any(fails))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> CheckCommand {
        CheckCommand::Shell(line.to_owned())
    }

    #[test]
    fn who_looks_for_itself_in_the_list_of_processes_is_known() {
        for (line, expected) in [
            ("ps aux | grep node", Some("node")),
            ("ps aux | grep -v grep | grep node", None),
            ("ps aux | grep [n]ode", None),
            ("psql -c 'select 1' | grep 1", None),
            ("pgrep -f node", Some("node")),
            ("pgrep -f node || exit 1", Some("node")),
            ("pgrep node || exit 1", None),
        ] {
            assert_eq!(shell(line).finds_itself().as_deref(), expected, "{line}");
        }
        let words = ["CMD", "pgrep", "-f", "node"].map(str::to_owned);
        assert_eq!(CheckCommand::of(&words).unwrap().finds_itself(), None, "no shell stands in the list");
    }

    #[test]
    fn curl_passes_on_every_answer_unless_it_is_told_to_fail_or_its_answer_is_read() {
        for (line, expected) in [
            ("curl -s http://a/", true),
            ("curl http://a/ || exit 1", true),
            ("curl -kfsS https://a/", false),
            ("curl --fail-with-body http://a/", false),
            ("curl -s http://a/ | grep ok", false),
            ("test \"$(curl -s http://a/)\" = ok", false),
            ("wget http://a/", false),
        ] {
            assert_eq!(shell(line).ignores_status(), expected, "{line}");
        }
    }

    #[test]
    fn what_can_never_fail_is_known() {
        for (line, expected) in [
            ("curl -f http://a/ || true", true),
            ("curl -f http://a/; exit 0", true),
            ("curl -f http://a/ && exit 0", false),
            ("exit 0", true),
            ("echo ok", true),
            ("python -c 'import sys; sys.exit(0)'", true),
            ("curl -f http://a/ || exit 1", false),
            ("curl -f http://a/ || exit 1; exit 0", false),
            ("if ! curl -f http://a/; then exit 1; fi; exit 0", false),
            ("curl -f http://a/; exit", false),
        ] {
            assert_eq!(shell(line).never_fails(), expected, "{line}");
        }
    }
}
