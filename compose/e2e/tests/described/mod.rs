//! A real binary that describes what it answers, and schemathesis, which tries it.

use std::path::Path;
use std::time::Duration;

use e2e::{KEY, Program, ask};
use http::Request;
use serde_json::Value;
use testkit::{at_scale, installed};
use tokio::process::Command;

/// Far longer than the usual number of examples takes.
const TRIED_WITHIN: Duration = Duration::from_secs(900);
/// What every answer is looked at for.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
    negative_data_rejection";

/// A real binary, which describes what it answers.
pub(crate) struct Described(pub(crate) Program);

impl Described {
    /// Starts it in a folder, and waits until it can work.
    pub(crate) async fn start(name: &'static str, folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut program = Program::new(name);
        program.start(folder, &[], variables).await;
        program.until_ready().await;
        Self(program)
    }

    /// Asks as a user, if there is a token, and else with the services' key.
    pub(crate) async fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.0.url()));
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request.header("x-api-key", KEY),
        };
        let (status, body) = ask(request, body).await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Has schemathesis try the paths that an option chooses, with everything that opens doors.
    pub(crate) async fn is_as_described(&self, token: &str, choice: [&str; 2]) {
        let schemathesis = installed("e2e-venv/bin/st");
        let (seed, examples) = (at_scale::<fn() -> u64>(|| 7, testkit::seed)(), at_scale(20, 500));
        println!("schemathesis --seed {seed}");
        let mut command = Command::new(schemathesis);
        command.arg("run").arg(format!("{}/openapi.json", self.0.url())).args(choice);
        command.args(["--seed", &seed.to_string(), "--max-examples", &examples.to_string()]);
        // With one worker: several threads of Python 3.11 at `ast.parse` fail at random (github.com/python/cpython/issues/106905).
        command.args(["--phases", "coverage,fuzzing", "--checks", CHECKS, "--continue-on-failure", "--workers", "1"]);
        // A key of its own making would be refused, whatever else it sends.
        command.args(["--generation-with-security-parameters", "false", "--generation-database", "none", "--no-color"]);
        command.args(["--header", &format!("Authorization: Bearer {token}"), "--header", &format!("X-API-Key: {KEY}")]);
        let trying = command.current_dir(std::env::temp_dir()).kill_on_drop(true).output();
        let tried = tokio::time::timeout(at_scale(TRIED_WITHIN, 20 * TRIED_WITHIN), trying).await;
        let tried = tried.expect("schemathesis to come to an end").unwrap();
        let said = String::from_utf8_lossy(&tried.stdout);
        assert!(tried.status.success(), "{said}{}", String::from_utf8_lossy(&tried.stderr));
        println!("{said}");
    }
}
