//! Addresses that cannot be meant within a container.

use std::sync::Arc;
use std::time::Duration;

use auth_monitor::{Means, kept_from_here, kinds};
use monitor::probe::{CheckId, Outcome, Question, ReasonCode, Vantage, Why, observe};
use testkit::Target;

use crate::decode_by;

#[tokio::test]
async fn localhost_within_a_container_is_not_asked_and_what_to_write_is_said() {
    kit::tls::install();
    let target = Target::ok("fine");
    let kinds = kept_from_here(kinds(&Means::new("test")));
    let port = target.addr().port();
    for check in [
        format!("sign-in: {{ url: 'http://localhost:{port}' }}"),
        format!("tokens: {{ url: 'http://127.0.0.1:{port}' }}"),
        format!("auth-events: {{ url: 'http://127.0.0.1:{port}', api_key: '${{KEY}}' }}"),
        format!("http: {{ url: 'http://[::1]:{port}/health' }}"),
        format!("tcp: {{ address: 'localhost:{port}' }}"),
        format!("redis: {{ address: 'localhost:{port}' }}"),
        format!("postgres: {{ address: 'localhost:{port}', username: a }}"),
        format!("smtp: {{ address: 'localhost:{port}' }}"),
        format!("prometheus: {{ url: 'http://localhost:{port}', query: up }}"),
        format!("oidc: {{ url: 'http://localhost:{port}' }}"),
    ] {
        let probe = decode_by(&kinds, &check).unwrap();
        let id = CheckId::new("platform", "check");
        let question = Question { id, probe, expect: Arc::default(), timeout: Duration::from_secs(20) };
        let vantage = Arc::new(Vantage::of_system().unwrap());
        let observation = observe(vantage, &question, Why::Asked, false).await;
        let Outcome::Unknown(reason) = &observation.outcome else { panic!("{check}: {observation:?}") };
        assert_eq!(reason.code, ReasonCode::UnreachableFromHere);
        assert!(
            reason.text.starts_with("misconfigured: ") && reason.text.contains(&port.to_string()),
            "{}",
            reason.text
        );
        assert!(reason.text.contains("AUTH_MONITOR_PLATFORM_URL=http://platform-services:8007"), "{}", reason.text);
    }
    assert_eq!(target.connections(), 0);
    let here = decode_by(&kinds, "file: { path: /proc/version }").unwrap();
    assert!(!format!("{here:?}").starts_with("Misplaced"), "{here:?}");
    let elsewhere = decode_by(&kinds, "sign-in: { url: 'http://platform-services:8007' }").unwrap();
    assert!(format!("{elsewhere:?}").starts_with("SignIn"), "{elsewhere:?}");
}
