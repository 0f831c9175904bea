//! Python's own HMAC verifies the webhook's signature, as a receiver would (Standard Webhooks 1.0.0, "Verifying
//! signatures").

use testkit::Target;

use crate::real::python_says;
use crate::{file, messages, send};

const VERIFY: &str = r#"
import base64, hashlib, hmac, sys
secret, id, timestamp, signature, body = sys.argv[1:]
key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
signed = id.encode() + b"." + timestamp.encode() + b"." + open(body, "rb").read()
expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
print(hmac.compare_digest(expected, signature))
"#;

#[tokio::test]
async fn a_receiver_can_verify_who_sent_it_with_either_form_of_secret() {
    for secret in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain secret äöü"] {
        let target = Target::ok("");
        let held = file(secret);
        let settings = format!("webhook: {{ url: '{}', secret_file: {} }}", target.url("/"), held.path().display());
        send(&settings, &messages::hostile()).await.unwrap();
        let request = target.requests().remove(0);
        let header = |name: &str| request.header(name).unwrap();
        let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
        let age = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
        assert!((0..60).contains(&age), "{age}");
        let (body, other) = (file(&request.text()), file(&request.text().replace("shop", "shoq")));
        let says = |body: &tempfile::NamedTempFile| {
            let path = body.path().display().to_string();
            python_says(VERIFY, &[secret, id, timestamp, header("webhook-signature"), &path])
        };
        assert_eq!((says(&body).as_str(), says(&other).as_str()), ("True", "False"));
    }
}
