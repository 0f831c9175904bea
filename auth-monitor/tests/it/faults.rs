//! Each fault makes the right check fail at the right step with the right reason, leaves no account, and is over with it.

use std::time::Duration;

use monitor::probe::ReasonCode::{self, Header, Json, Refused, Status, Timeout};
use monitor::probe::{Outcome, StepState};
use testkit::Target;

use crate::Check;
use crate::fake::{Fake, Fault};

/// Goes through faults of a check; between any two everything passes, and no account is left.
async fn check(settings: &str, faults: &[(Fault, ReasonCode, &str)]) {
    let fake = Fake::new();
    let check = Check::new(&settings.replace("URL", &fake.url()));
    check.passes().await;
    for (fault, code, text) in faults {
        fake.be(*fault);
        check.fails(*code, text).await;
        fake.be(Fault::None);
        check.passes().await;
        assert_eq!((fake.accounts(), check.ledger.left()), (0, 0), "{fault:?} leaves nothing");
    }
}

#[tokio::test]
async fn a_sign_in_that_does_not_keep_its_promises_fails_at_the_step_that_shows_it() {
    let same = |which| format!("step \"refresh\" (5 of 10): the {which} token is the one from before");
    check(
        "sign-in: { url: 'URL' }",
        &[
            (Fault::HtmlEverywhere, Json, "step \"register\" (1 of 10): status 200, but no JSON: it is text/html"),
            (Fault::Busy, Status, "step \"register\" (1 of 10): status 503, expected 200 or 201: no"),
            (
                Fault::TakesAnyPassword,
                Status,
                "step \"wrong-password\" (3 of 10): status 200, expected 401: it is JSON; there are access_token, email, \
                 refresh_token, token_type, user",
            ),
            (
                Fault::OthersProfile,
                Json,
                "step \"profile\" (4 of 10): the profile is somebody else's: its email is another one",
            ),
            (Fault::SameAccess, Json, &same("access")),
            (Fault::SameRefresh, Json, &same("refresh")),
            (
                Fault::OldRefreshGood,
                Status,
                "step \"old-refresh\" (6 of 10): status 200, expected 401: it is JSON; there are access_token, email, \
                 refresh_token, token_type, user",
            ),
            (
                Fault::LogoutKillsNothing,
                Status,
                "step \"dead-token\" (9 of 10): status 200, expected 401: it is JSON; there are email",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_false_token_that_is_taken_is_named() {
    let taken = |name: &str, place: u8| {
        format!("step \"{name}\" ({place} of 10): status 200, expected 401: it is JSON; there are email")
    };
    check(
        "tokens: { url: 'URL', account: true, secret: '${SECRET}' }",
        &[
            (Fault::TakesExpired, Status, &taken("expired", 5)),
            (Fault::TakesUnsigned, Status, &taken("alg-none", 6)),
            (Fault::TakesAnySignature, Status, &taken("other-secret", 7)),
            (Fault::TakesHs512, Status, &taken("hs512", 8)),
        ],
    )
    .await;
}

#[tokio::test]
async fn whoever_answers_200_with_html_to_everything_refuses_nothing() {
    let target = Target::answer(200, &[("content-type", "text/html")], "<html>welcome</html>");
    for (settings, text) in [
        ("tokens: { url: 'URL' }", "step \"no-token\" (1 of 7): status 200, expected 401: it is text/html"),
        ("sign-in: { url: 'URL' }", "step \"register\" (1 of 10): status 200, but no JSON: it is text/html"),
        ("lockout: { url: 'URL' }", "step \"register\" (1 of 4): status 200, but no JSON: it is text/html"),
        ("registration: { url: 'URL' }", "step \"register\" (1 of 6): status 200, expected 201: it is text/html"),
    ] {
        let check = Check::new(&settings.replace("URL", &target.url("")));
        let observation = check.ask().await;
        let Outcome::Fail(reason) = &observation.outcome else { panic!("{observation:?}") };
        assert_eq!(reason.text, text);
    }
    target.set_status(401);
    let check = Check::new(&format!("tokens: {{ url: '{}' }}", target.url("")));
    check.fails(Json, "step \"no-token\" (1 of 7): status 401, but no JSON: it is text/html").await;
}

#[tokio::test]
async fn a_lock_that_is_none_is_found() {
    check(
        "lockout: { url: 'URL' }",
        &[
            (
                Fault::NeverLocks,
                Status,
                "step \"wrong-passwords\" (2 of 4): 12 wrong passwords were tried, and the account is not locked (429)",
            ),
            (
                Fault::LocksWithoutSayingHowLong,
                Header,
                "step \"wrong-passwords\" (2 of 4): status 429, but Retry-After is missing",
            ),
            (
                Fault::LocksOnlyWrongPasswords,
                Status,
                "step \"right-password\" (3 of 4): status 200, expected 429: it is JSON; there are access_token, email, \
                 refresh_token, token_type, user",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_registration_that_takes_what_it_must_not_or_tells_too_much_is_found() {
    let made = "it is JSON; there are access_token, email, refresh_token, token_type, user";
    let fake = Fake::new();
    let check = Check::new(&format!("registration: {{ url: '{}' }}", fake.url()));
    check.passes().await;
    for (fault, code, text) in [
        (Fault::LeaksHash, Json, "step \"account\" (2 of 6): the answer holds \"password_hash\"".to_owned()),
        (Fault::TakenTwice, Status, format!("step \"again\" (3 of 6): status 201, expected 409: {made}")),
        (Fault::TakesEveryEmail, Status, format!("step \"invalid-email\" (4 of 6): status 201, expected 400: {made}")),
    ] {
        fake.be(fault);
        check.fails(code, &text).await;
        fake.be(Fault::None);
        check.passes().await;
    }
    assert_eq!(check.ledger.left(), 0);
}

#[tokio::test]
async fn a_slow_platform_is_degraded_and_says_which_step_was_slow() {
    let fake = Fake::new();
    let check = Check::new(&format!("sign-in: {{ url: '{}', budget: 300ms }}", fake.url()));
    fake.target.set_delay(Duration::from_millis(320));
    let observation = check.passes().await;
    let soft: Vec<&str> = observation.soft.iter().map(|reason| reason.text.as_str()).collect();
    assert_eq!(soft.len(), 10, "{soft:?}");
    assert!(
        soft[1].starts_with("step \"login\" (2 of 10): took ") && soft[1].ends_with(" ms, more than 300ms"),
        "{soft:?}"
    );
    fake.target.set_delay(Duration::ZERO);
    assert_eq!(check.passes().await.soft, []);
}

#[tokio::test]
async fn an_account_that_cannot_be_deleted_fails_is_left_and_is_swept_later() {
    let fake = Fake::new();
    let check = Check::new(&format!("sign-in: {{ url: '{}' }}", fake.url()));
    fake.be(Fault::CannotDelete);
    for left in 1..=10 {
        check.fails(Status, "step \"delete\" (10 of 10): status 500, expected 200 or 204: no").await;
        assert_eq!((fake.accounts(), check.ledger.left()), (left, left));
    }
    let full = "step \"register\" (1 of 10): 10 accounts of earlier runs could not be deleted; no more are made until they are";
    check.fails(ReasonCode::Reported, full).await;
    assert_eq!(fake.accounts(), 10, "and no more are made");
    fake.be(Fault::HtmlEverywhere);
    check.fails(Json, "step \"register\" (1 of 10): status 200, but no JSON: it is text/html").await;
    fake.be(Fault::None);
    for _round in 0..4 {
        check.passes().await;
    }
    assert_eq!((fake.accounts(), check.ledger.left(), check.ledger.swept()), (0, 0, 10));
}

#[tokio::test]
async fn nobody_there_leaves_no_account_to_sweep_and_silence_leaves_one_that_is_deleted_later() {
    let gone = Check::new(&format!("sign-in: {{ url: '{}' }}", Target::refuse().url("")));
    let observation = gone.ask().await;
    let Outcome::Fail(reason) = &observation.outcome else { panic!("{observation:?}") };
    assert_eq!((reason.code, gone.ledger.left()), (Refused, 0), "{}", reason.text);

    let fake = Fake::new();
    let check = Check::within(Duration::from_millis(500), &format!("sign-in: {{ url: '{}' }}", fake.url()));
    fake.target.set_delay(Duration::from_secs(600));
    let observation = check.ask().await;
    let Outcome::Fail(reason) = &observation.outcome else { panic!("{observation:?}") };
    assert_eq!(reason.code, Timeout, "{}", reason.text);
    assert!(observation.seen.steps.iter().skip(1).all(|step| step.state == StepState::NotReached), "{observation:?}");
    assert_eq!(check.ledger.left(), 1, "it may have been made");
}

#[tokio::test]
async fn a_logout_that_answers_with_a_page_passes_no_further_than_its_token_lives() {
    let fake = Fake::new();
    let check = Check::new(&format!("sign-in: {{ url: '{}' }}", fake.url()));
    fake.be(Fault::LogoutHtml);
    check.fails(Json, "step \"logout\" (8 of 10): status 200, but no JSON: it is text/html").await;
    fake.be(Fault::DeleteHtml);
    check.fails(Json, "step \"delete\" (10 of 10): status 200, but no JSON: it is text/html").await;
    assert_eq!((fake.accounts(), check.ledger.left()), (1, 1), "it is there, and stands in the ledger");
    fake.be(Fault::None);
    check.passes().await;
    assert_eq!((fake.accounts(), check.ledger.left()), (0, 0));
}
