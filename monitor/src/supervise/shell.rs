//! Enough of a shell's grammar to know which programs a line starts, and what happens when they fail.

/// One program with its arguments, and the operator before it (`""`, `&&`, `||`, `;`, `|`, `&`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) joined_by: &'static str,
    pub(crate) words: Vec<String>,
}

impl Step {
    /// Returns the program's name without folders; none for what only the shell does.
    pub(crate) fn program(&self) -> Option<&str> {
        let name = self.words.first()?.rsplit('/').next()?;
        (!SHELL_WORDS.contains(&name) && !name.is_empty() && !name.starts_with('$')).then_some(name)
    }
}

/// Words a POSIX shell answers itself (POSIX.1-2024, XCU 2.15 and common built-ins), and words of its grammar.
const SHELL_WORDS: [&str; 26] = [
    "test", "[", "[[", "exit", "true", "false", ":", "echo", "printf", "cd", "export", "set", "wait", "return", "kill",
    "read", "trap", "eval", "command", "for", "case", "fi", "done", "esac", "]", "type",
];
/// Words that stand before the program they start.
const PREFIXES: [&str; 14] =
    ["!", "if", "then", "else", "elif", "while", "until", "do", "exec", "time", "nohup", "sudo", "{", "("];

/// Splits a line into the programs it starts, in order. Quotes hold words together; `$(…)` is read as part of a word.
pub(crate) fn steps(line: &str) -> Vec<Step> {
    let mut found = Vec::new();
    let mut joined_by = "";
    let mut words = Vec::new();
    for token in tokens(line) {
        match token {
            Token::Word(word) => words.push(word),
            Token::Operator(operator) => {
                push(&mut found, joined_by, std::mem::take(&mut words));
                joined_by = operator;
            }
        }
    }
    push(&mut found, joined_by, words);
    found
}

/// Makes a line of words that were written as a list.
pub(crate) fn line_of(words: &[String]) -> String {
    let quoted = words.iter().map(|word| {
        let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c));
        if is_plain { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn push(found: &mut Vec<Step>, joined_by: &'static str, words: Vec<String>) {
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.peek() {
        let is_assignment = word
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        if word == "timeout" {
            words.next();
            while let Some(option) = words.next_if(|word| word.starts_with('-')) {
                if matches!(option.as_str(), "-k" | "-s") {
                    words.next();
                }
            }
            words.next();
        } else if is_assignment || PREFIXES.contains(&word.as_str()) {
            words.next();
        } else {
            break;
        }
    }
    let words: Vec<String> = words.collect();
    if !words.is_empty() {
        found.push(Step { joined_by, words });
    }
}

enum Token {
    Word(String),
    Operator(&'static str),
}

fn tokens(line: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars().peekable();
    let end = |word: &mut Option<String>, found: &mut Vec<Token>| found.extend(word.take().map(Token::Word));
    while let Some(c) = chars.next() {
        match c {
            '\'' => word.get_or_insert_default().extend(chars.by_ref().take_while(|c| *c != '\'')),
            '"' => {
                let text = word.get_or_insert_default();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => text.extend(chars.next()),
                        _ => text.push(c),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            '$' if chars.peek() == Some(&'(') => {
                let text = word.get_or_insert_default();
                text.push(c);
                let mut depth = 0;
                for c in chars.by_ref() {
                    text.push(c);
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    if depth == 0 {
                        break;
                    }
                }
            }
            // `2>&1` and `&>file` are redirections, no operators.
            '&' if word.as_ref().is_some_and(|text| text.ends_with('>')) || chars.peek() == Some(&'>') => {
                word.get_or_insert_default().push(c);
            }
            '&' | '|' | ';' | '\n' => {
                end(&mut word, &mut found);
                let doubled = chars.next_if_eq(&c).is_some();
                found.push(Token::Operator(match (c, doubled) {
                    ('&', true) => "&&",
                    ('|', true) => "||",
                    ('&', false) => "&",
                    ('|', false) => "|",
                    _ => ";",
                }));
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            c if c.is_whitespace() => end(&mut word, &mut found),
            '(' | ')' if word.is_none() => {}
            c => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let shown: Vec<String> =
            steps(line).iter().map(|step| format!("{}{}", step.joined_by, step.words.join(" "))).collect();
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn a_line_is_split_into_the_programs_it_starts() {
        check("curl -f http://a/ || exit 1", &["curl -f http://a/", "||exit 1"]);
        check("ps aux | grep -v 'a b' > /dev/null 2>&1; true", &["ps aux", "|grep -v a b > /dev/null 2>&1", ";true"]);
        check("if ! A=1 timeout -k 1 5 nc -z db 5432; then exit 1; fi", &["nc -z db 5432", ";exit 1", ";fi"]);
        check(
            "test \"$(redis-cli ping | tr a b)\" = PONG && exec node",
            &["test $(redis-cli ping | tr a b) = PONG", "&&node"],
        );
        check("a # || b\nc", &["a", ";c"]);
    }

    #[test]
    fn what_the_shell_does_itself_is_no_program() {
        let programs: Vec<Option<String>> =
            steps("/usr/bin/curl x && test -f y || $TOOL").iter().map(|s| s.program().map(str::to_owned)).collect();
        assert_eq!(programs, [Some("curl".to_owned()), None, None]);
    }

    #[test]
    fn a_list_of_words_becomes_a_line_that_reads_back() {
        let words = ["sh", "-c", "echo 'a' && b"].map(str::to_owned);
        assert_eq!(steps(&line_of(&words))[0].words, words);
    }
}
