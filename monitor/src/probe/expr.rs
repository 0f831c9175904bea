//! `expr`: one CEL expression over what a probe learned (Common Expression Language, github.com/google/cel-spec).
//!
//! Syntax, unknown variables and unknown functions are configuration mistakes. A type clash or a missing key at run time
//! is a fail that shows the message, never a silent false or 0.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cel::{Context, Program, Value};
use jiff::Timestamp;
use kit::config::{Cursor, suggest};
use serde_json::Value as Json;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::expect::MAX_JUDGED_BYTES;
use super::observation::{Facts, Outcome, Reason, ReasonCode};

/// Longest expression, in bytes (DESIGN section 6).
const MAX_EXPRESSION_BYTES: usize = 1024;

/// Variables an expression may use.
const VARIABLES: [&str; 6] = ["status", "headers", "body", "json", "latency_ms", "cert_days"];

/// Functions an expression may call: CEL's standard ones without time, and its macros.
const FUNCTIONS: [&str; 20] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "min",
    "max",
    "type",
    "bool",
];

/// Evaluations that may go on at once. One that never ends keeps its place, so that it cannot eat every thread.
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(4)));

/// A compiled expression and its text.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    program: Arc<Program>,
    /// True if it looks at the body, as text or as JSON.
    reads_body: bool,
}

impl Expression {
    /// Compiles and checks the expression; reports what is wrong through the cursor.
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let text = cursor.text()?;
        match compile(&text) {
            Ok(program) => Some(Self::of(text, program)),
            Err(message) => {
                cursor.mistake(message);
                None
            }
        }
    }

    fn of(text: String, program: Program) -> Self {
        let reads_body = ["body", "json"].iter().any(|name| program.references().has_variable(name));
        Self { text, program: Arc::new(program), reads_body }
    }

    /// Returns true if it looks at the body.
    pub(super) fn reads_body(&self) -> bool {
        self.reads_body
    }

    /// Evaluates on a blocking thread under the probe's deadline.
    pub(super) async fn judge(
        &self,
        facts: &Facts,
        json: Option<Json>,
        took: Duration,
        deadline: Instant,
    ) -> Result<(), Outcome> {
        let inputs = Inputs::of(facts, self.reads_body, json, took)
            .map_err(|text| Outcome::Fail(Reason::new(ReasonCode::Expression, text)))?;
        let program = self.program.clone();
        match in_time(deadline, move || inputs.evaluate(&program)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => Err(Outcome::fail(ReasonCode::Expression, format!("{text}: {}", self.text))),
            Err(Unfinished::NoPlace) => {
                Err(Outcome::local("no place to evaluate expr: other expressions do not finish"))
            }
            Err(Unfinished::Late) => {
                Err(Outcome::fail(ReasonCode::Expression, format!("expr did not finish in time: {}", self.text)))
            }
            Err(Unfinished::Broken) => {
                let text = format!("expr broke the evaluator: {}", self.text);
                Err(Outcome::Unknown(Reason::new(ReasonCode::Panic, text)))
            }
        }
    }
}

/// An expression over a JSON body alone, which it knows as `body`: as modules of blackbox_exporter write them.
#[derive(Debug)]
pub(super) struct BodyExpression(Expression);

impl BodyExpression {
    /// Compiles and checks the expression; reports what is wrong through the cursor.
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let text = cursor.text()?;
        match compile_knowing(&text, &["body"]) {
            Ok(program) => Some(Self(Expression::of(text, program))),
            Err(message) => {
                cursor.mistake(message);
                None
            }
        }
    }

    /// Returns whether it is true of a body, or why that cannot be said.
    pub(super) async fn judge(&self, body: &[u8], deadline: Instant) -> Result<bool, String> {
        if body.len() > MAX_JUDGED_BYTES {
            return Err(format!("the body is {} bytes, more than the {MAX_JUDGED_BYTES} that are judged", body.len()));
        }
        let json: Json = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
        let program = self.0.program.clone();
        let evaluate = move || {
            let value = cel::to_value(&json).map_err(|error| format!("the JSON body cannot be used: {error}"))?;
            let mut context = Context::default();
            context.add_variable_from_value("body", value);
            match program.execute(&context) {
                Ok(Value::Bool(is_true)) => Ok(is_true),
                Ok(_) => Err("the CEL expression is neither true nor false".to_owned()),
                Err(error) => {
                    let message: String = error.to_string().chars().take(200).collect();
                    Err(format!("the CEL expression cannot be evaluated on this answer ({message})"))
                }
            }
        };
        in_time(deadline, evaluate)
            .await
            .unwrap_or_else(|_unfinished| Err("the CEL expression did not finish in time".to_owned()))
    }
}

/// Why an expression has no value.
enum Unfinished {
    NoPlace,
    Late,
    Broken,
}

/// Works on a thread that may block, in one of the places that there are.
async fn in_time<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let place = tokio::time::timeout_at(deadline, PLACES.clone().acquire_owned()).await;
    let Ok(Ok(place)) = place else { return Err(Unfinished::NoPlace) };
    let work = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(place);
        result
    });
    match tokio::time::timeout_at(deadline, work).await {
        Ok(done) => done.map_err(|_panicked| Unfinished::Broken),
        Err(_elapsed) => Err(Unfinished::Late),
    }
}

fn compile(text: &str) -> Result<Program, String> {
    compile_knowing(text, &VARIABLES)
}

fn compile_knowing(text: &str, known: &[&str]) -> Result<Program, String> {
    if text.len() > MAX_EXPRESSION_BYTES {
        return Err(format!("the expression is {} bytes, more than {MAX_EXPRESSION_BYTES}", text.len()));
    }
    // The parser is generated code: a panic in it must stay a message.
    let compiled = std::panic::catch_unwind(|| Program::compile(text));
    let program = match compiled {
        Ok(Ok(program)) => program,
        Ok(Err(errors)) => {
            let first = errors
                .to_string()
                .lines()
                .next()
                .unwrap_or("it does not parse")
                .trim_start_matches("ERROR: ")
                .to_owned();
            return Err(format!("not a CEL expression: {first}"));
        }
        Err(_panic) => return Err("not a CEL expression: the parser cannot read it".to_owned()),
    };
    let references = program.references();
    let mut variables = references.variables();
    variables.sort_unstable();
    // Macros bind names of their own (`x` in `list.all(x, …)`); they are not free variables of the expression.
    if let Some(unknown) = variables.iter().find(|name| !known.contains(name) && !is_bound(text, name)) {
        let near = suggest(unknown, known.iter().copied());
        let are = if known.len() == 1 { "is" } else { "are" };
        return Err(format!("unknown variable {unknown:?}{near}; there {are} {}", known.join(", ")));
    }
    let mut functions = references.functions();
    functions.sort_unstable();
    if let Some(unknown) = functions.iter().find(|name| is_word(name) && !FUNCTIONS.contains(name)) {
        let near = suggest(unknown, FUNCTIONS);
        return Err(format!("unknown function {unknown:?}{near}"));
    }
    Ok(program)
}

/// True if a macro call binds `name`: `.all(name,` and the like. Names that begin with `@` are the parser's own.
fn is_bound(text: &str, name: &str) -> bool {
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let binds = ["all", "exists", "exists_one", "map", "filter"];
    name.starts_with('@') || binds.iter().any(|macro_name| squeezed.contains(&format!(".{macro_name}({name},")))
}

fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with('_')
}

/// Owned values, so that they can go to another thread.
struct Inputs {
    status: Option<i64>,
    headers: HashMap<String, String>,
    body: String,
    json: Option<Json>,
    latency_ms: f64,
    cert_days: Option<f64>,
}

impl Inputs {
    fn of(facts: &Facts, reads_body: bool, json: Option<Json>, took: Duration) -> Result<Self, String> {
        let body = facts.body.as_deref().filter(|_| reads_body).unwrap_or_default();
        if body.len() > MAX_JUDGED_BYTES {
            return Err(format!("the body is {} bytes, more than the {MAX_JUDGED_BYTES} that are judged", body.len()));
        }
        let left =
            facts.seen.cert_expires.map(|expires| expires.duration_since(Timestamp::now()).as_secs_f64() / 86_400.0);
        Ok(Self {
            status: facts.status.or_else(|| facts.exit_code.and_then(|code| u16::try_from(code).ok())).map(i64::from),
            headers: facts.headers.iter().cloned().collect(),
            body: String::from_utf8_lossy(body).into_owned(),
            json,
            latency_ms: took.as_secs_f64() * 1000.0,
            cert_days: left,
        })
    }

    fn evaluate(self, program: &Program) -> Result<(), String> {
        let mut context = Context::default();
        // A variable that this answer does not have stays undeclared: using it is a fail that names it.
        if let Some(status) = self.status {
            context.add_variable_from_value("status", status);
        }
        if let Some(days) = self.cert_days {
            context.add_variable_from_value("cert_days", days);
        }
        context.add_variable_from_value("headers", self.headers);
        context.add_variable_from_value("body", self.body);
        context.add_variable_from_value("latency_ms", self.latency_ms);
        if let Some(json) = self.json {
            let value = cel::to_value(&json).map_err(|error| format!("the JSON body cannot be used: {error}"))?;
            context.add_variable_from_value("json", value);
        }
        match program.execute(&context) {
            Ok(Value::Bool(true)) => Ok(()),
            Ok(Value::Bool(false)) => Err("expr is false".to_owned()),
            Ok(other) => Err(format!("expr is {other:?}, not true or false")),
            Err(error) => {
                let message: String = error.to_string().chars().take(200).collect();
                Err(format!("expr cannot be evaluated on this answer ({message})"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn judge(text: &str) -> Result<(), String> {
        let expression = Expression::of(text.to_owned(), compile(text)?);
        let body = r#"{"queue":{"depth":7},"workers":[{"up":true},{"up":false}],"big":1000000}"#;
        let facts = Facts { status: Some(200), body: Some(body.into()), ..Facts::default() };
        let json = serde_json::from_str(body).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        expression.judge(&facts, Some(json), Duration::from_millis(12), deadline).await.map_err(|outcome| match outcome
        {
            Outcome::Fail(reason) | Outcome::Unknown(reason) => reason.text,
            Outcome::Pass => "pass".to_owned(),
        })
    }

    #[tokio::test]
    async fn true_passes_and_false_fails_with_the_expression() {
        for text in [
            "status == 200 && json.queue.depth < 10",
            "json.workers.exists(w, w.up)",
            "json.big == 1000000",
            "body.contains('queue') && latency_ms < 1000.0",
            "size(json.workers) == 2",
        ] {
            assert_eq!(judge(text).await, Ok(()), "{text}");
        }
        assert_eq!(judge("json.queue.depth < 5").await, Err("expr is false: json.queue.depth < 5".to_owned()));
    }

    #[tokio::test]
    async fn a_missing_path_or_a_type_clash_is_a_fail_and_never_zero() {
        for text in ["json.queue.size < 5", "json.queue < 5", "cert_days > 3.0", "json.queue.depth"] {
            let message = judge(text).await.unwrap_err();
            assert!(message.starts_with("expr "), "{text}: {message}");
        }
    }

    #[tokio::test]
    async fn typing_mistakes_are_found_when_it_is_loaded() {
        assert_eq!(
            judge("staus == 200").await.unwrap_err(),
            "unknown variable \"staus\"; did you mean \"status\"?; there are status, headers, body, json, latency_ms, cert_days"
        );
        assert_eq!(
            judge("body.contans('x')").await.unwrap_err(),
            "unknown function \"contans\"; did you mean \"contains\"?"
        );
        assert!(judge("status == ").await.unwrap_err().starts_with("not a CEL expression"));
        assert!(judge(&"a".repeat(2000)).await.unwrap_err().contains("more than 1024"));
    }
}
