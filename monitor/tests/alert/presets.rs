//! Presets of the webhook against what each receiver documents.

use serde_json::{Value, json};
use testkit::{Request, Target};

use crate::{SECRET, decode, messages, send};

const TITLE: &str = "[PAGE] shop is down: health: connection refused by 127.0.0.1:8007";
const PAGE_URL: &str = "https://status.example.com/incidents/01940000-0000-7000-8000-000000000001";

/// Sends a page through the preset with these further settings.
async fn request(preset: &str, path: &str, more: &str) -> Request {
    request_of(preset, path, more, &messages::page()).await
}

async fn request_of(preset: &str, path: &str, more: &str, message: &monitor::alert::Message) -> Request {
    let target = Target::ok(if more.contains("SECRET") { format!("echo of {SECRET}") } else { String::new() });
    let url = target.url(path);
    let accepted = send(&format!("webhook: {{ preset: {preset}, url: '{url}'{more} }}"), message).await.unwrap();
    assert!(!accepted.answer.contains(SECRET), "{}", accepted.answer);
    target.requests().remove(0)
}

fn body(request: &Request) -> Value {
    assert!(request.header("content-type").unwrap().starts_with("application/json"));
    serde_json::from_slice(&request.body).unwrap_or_else(|error| panic!("{error}: {}", request.text()))
}

/// Decodes a form (URL Standard, "application/x-www-form-urlencoded parsing").
fn form(request: &Request) -> Vec<(String, String)> {
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn pushover_gets_a_form_within_its_limits() {
    let more = ", secrets: { token: '${SECRET}', user: '${SECRET}' }";
    let sent = request("pushover", "/", more).await;
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/1/messages.json"));
    let sent = form(&sent);
    assert_eq!((field(&sent, "token"), field(&sent, "user")), (Some(SECRET), Some(SECRET)));
    assert_eq!((field(&sent, "title"), field(&sent, "priority")), (Some(TITLE), Some("1")));
    assert_eq!((field(&sent, "url"), field(&sent, "url_title")), (Some(PAGE_URL), Some("Incident")));
    assert!(field(&sent, "message").unwrap().starts_with("Service: shop\n"));
    let more = format!("{more}, values: {{ emergency: true }}");
    let sent = form(&request("pushover", "/", &more).await);
    let loud = ["priority", "retry", "expire"].map(|name| field(&sent, name));
    assert_eq!(loud, [Some("2"), Some("60"), Some("3600")]);
    let sent = form(&request_of("pushover", "/", &more, &messages::hostile()).await);
    assert!(field(&sent, "message").unwrap().chars().count() <= 1024);
    assert!(field(&sent, "title").unwrap().chars().count() <= 250);
    let sent = form(&request_of("pushover", "/", &more, &messages::resolved()).await);
    assert_eq!(field(&sent, "priority"), None);
}

#[tokio::test]
async fn gotify_gets_a_message_with_a_link() {
    let sent = request("gotify", "/push", ", secrets: { token: '${SECRET}' }").await;
    assert_eq!(sent.path, "/push/message");
    assert_eq!(sent.header("x-gotify-key"), Some(SECRET));
    let sent = body(&sent);
    assert_eq!((&sent["title"], &sent["priority"]), (&json!(TITLE), &json!(8)));
    assert_eq!(sent["extras"], json!({ "client::notification": { "click": { "url": PAGE_URL } } }));
}

#[tokio::test]
async fn matrix_gets_one_event_however_often_it_is_sent() {
    let more = ", values: { room: '!abc:example.org' }, secrets: { token: '${SECRET}' }";
    let sent = request("matrix", "/", more).await;
    let path = format!("/_matrix/client/v3/rooms/%21abc%3Aexample.org/send/m.room.message/{}", messages::page().key);
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("PUT", path.as_str()));
    assert_eq!(sent.header("authorization").unwrap(), format!("Bearer {SECRET}"));
    let sent = body(&sent);
    assert_eq!(sent["msgtype"], "m.text");
    assert!(sent["body"].as_str().unwrap().starts_with(&format!("{TITLE}\nService: shop\n")));
}

#[tokio::test]
async fn chats_get_the_text_as_code_and_nobody_is_called() {
    for (preset, limit) in [("mattermost", 16_383), ("rocket_chat", 5000)] {
        let sent = body(&request(preset, "/hooks/xyz", "").await);
        let attachment = &sent["attachments"][0];
        assert_eq!((&attachment["color"], &attachment["title_link"]), (&json!("#c0312b"), &json!(PAGE_URL)));
        assert!(attachment["text"].as_str().unwrap().starts_with("```\nService: shop\n"), "{attachment}");
        let sent = request_of(preset, "/hooks/xyz", "", &messages::hostile()).await;
        let text = body(&sent)["attachments"][0]["text"].as_str().unwrap().chars().count();
        assert!(text < limit, "{preset}: {text}");
        assert!(!body(&sent).to_string().contains("@everyone"), "{preset}");
    }
    let sent = body(&request_of("google_chat", "/v1/spaces/x/messages?key=a", "", &messages::hostile()).await);
    let text = sent["text"].as_str().unwrap();
    assert!(text.chars().count() <= 4096 && !text.contains('<'), "{text}");
}

#[tokio::test]
async fn twilio_gets_a_short_message() {
    let more = ", values: { account: AC123, from: '+15550001', to: '+15550002' }, secrets: { token: '${SECRET}' }";
    let sent = request_of("twilio", "/", more, &messages::digest()).await;
    assert_eq!(sent.path, "/2010-04-01/Accounts/AC123/Messages.json");
    let credentials = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("AC123:{SECRET}"));
    assert_eq!(sent.header("authorization").unwrap(), format!("Basic {credentials}"));
    let sent = form(&sent);
    assert_eq!((field(&sent, "To"), field(&sent, "From")), (Some("+15550002"), Some("+15550001")));
    let text = field(&sent, "Body").unwrap();
    assert!(text.starts_with("[PAGE] 65 services are down\n") && text.chars().count() <= 1600, "{text}");
}

#[tokio::test]
async fn signal_gets_a_message_for_every_number() {
    let more = ", values: { number: '+15550001', recipients: ['+15550002', '+15550003'] }";
    let sent = request("signal", "/", more).await;
    assert_eq!(sent.path, "/v2/send");
    let sent = body(&sent);
    assert_eq!((&sent["number"], &sent["recipients"]), (&json!("+15550001"), &json!(["+15550002", "+15550003"])));
    assert!(sent["message"].as_str().unwrap().starts_with(TITLE));
}

#[test]
fn a_preset_with_an_address_of_its_own_needs_no_url() {
    let more = "secrets: { token: '${SECRET}', user: '${SECRET}' }";
    let channel = decode(&format!("webhook: {{ preset: pushover, {more} }}")).unwrap();
    assert_eq!(channel.channel.target(), "https://api.pushover.net");
    let mistakes = decode("webhook: { preset: slack_like, url: 'http://x/' }").unwrap_err();
    assert!(mistakes[0].contains("there is no preset \"slack_like\""), "{mistakes:?}");
}
