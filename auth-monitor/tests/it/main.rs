//! Checks of sign-in against the real platform and against fakes that are wrong in one way each, on real sockets.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod binary;
mod events;
mod fake;
mod faults;
mod keys;
mod misplaced;
mod oidc;
mod platform;

use std::sync::Arc;
use std::time::Duration;

use auth_monitor::{Ledger, Means, kinds};
use kit::config::{Cursor, Environment, Mistakes, Source, load_text};
use monitor::probe::{
    CheckId, Expectations, Observation, Outcome, Question, ReasonCode, StepState, Vantage, Why, observe,
};

/// Far longer than anything on loopback takes; reaching it fails a test.
const LIMIT: Duration = Duration::from_secs(60);

/// A check with a ledger of its own.
struct Check {
    question: Question,
    vantage: Arc<Vantage>,
    ledger: Ledger,
    folder: tempfile::TempDir,
    yaml: String,
}

impl Check {
    /// Decodes `{ KIND: SETTINGS }`; `${KEY}`, `${SECRET}` and those of [`oidc`] are set.
    fn new(yaml: &str) -> Self {
        Self::within(Duration::from_secs(20), yaml)
    }

    fn within(timeout: Duration, yaml: &str) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), timeout, yaml)
    }

    /// The same check in a daemon that was started anew.
    fn again(self) -> Self {
        Self::in_folder(self.folder, self.question.timeout, &self.yaml)
    }

    fn in_folder(folder: tempfile::TempDir, timeout: Duration, yaml: &str) -> Self {
        kit::tls::install();
        let means = Means::new("test");
        means.open(folder.path()).unwrap();
        let ledger = means.ledger.clone();
        let probe = decode(yaml, &means).unwrap_or_else(|mistakes| panic!("{yaml}: {mistakes:?}"));
        let (id, expect) = (CheckId::new("platform", "check"), Arc::<Expectations>::default());
        let question = Question { id, probe, expect, timeout };
        Self { question, vantage: Arc::new(Vantage::of_system().unwrap()), ledger, folder, yaml: yaml.to_owned() }
    }

    async fn ask(&self) -> Observation {
        observe(self.vantage.clone(), &self.question, Why::Asked, false).await
    }

    /// Asks, and expects every step to pass within its budget or beyond it.
    async fn passes(&self) -> Observation {
        let observation = self.ask().await;
        assert_eq!(observation.outcome, Outcome::Pass, "{observation:?}");
        assert!(observation.seen.steps.iter().all(|step| step.state == StepState::Passed), "{observation:?}");
        observation
    }

    /// Asks, and expects a fail with this reason; what comes after the step that failed is not reached.
    async fn fails(&self, code: ReasonCode, text: &str) {
        let observation = self.ask().await;
        let Outcome::Fail(reason) = &observation.outcome else { panic!("{text}: {observation:?}") };
        assert_eq!((reason.code, reason.text.as_str()), (code, text));
        let steps: Vec<(&str, StepState)> =
            observation.seen.steps.iter().map(|step| (step.name.as_str(), step.state)).collect();
        let failed = steps.iter().position(|(_, state)| *state == StepState::Failed).unwrap();
        let later = steps.iter().skip(failed + 1).filter(|(name, _)| *name != "delete");
        assert!(later.clone().all(|(_, state)| *state == StepState::NotReached), "{steps:?}");
    }
}

fn decode(yaml: &str, means: &Means) -> Result<Arc<dyn monitor::probe::Probe>, Vec<String>> {
    decode_by(&kinds(means), yaml)
}

fn decode_by(kinds: &monitor::Kinds, yaml: &str) -> Result<Arc<dyn monitor::probe::Probe>, Vec<String>> {
    let mistakes = Mistakes::default();
    let [password, client_secret, posted] = oidc::VARIABLES;
    let own = [("KEY", platform::KEY), ("SECRET", fake::SECRET)];
    let environment = Environment::of([own[0], own[1], password, client_secret, posted]);
    let source = Source { path: std::path::Path::new("m.yml"), environment: &environment, prefix: "TEST" };
    let node = load_text(yaml, &source, &[], &mistakes);
    let cursor = Cursor::top(&node, &mistakes);
    let probe = cursor.tag().and_then(|(name, _, settings)| kinds.find(name).unwrap().decode(&settings));
    let mistakes = mistakes.into_sorted();
    match probe {
        Some(probe) if mistakes.is_empty() => Ok(probe),
        _ => Err(mistakes.iter().map(ToString::to_string).collect()),
    }
}
