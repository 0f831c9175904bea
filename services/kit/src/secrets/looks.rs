//! What looks like a secret in a text, and what a field that holds one is called.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What names a secret, and what may stand between the name and its value: quotes, escaped too, `:` or `=`, and what `Debug`
/// puts around it.
const NAMED: &str = r#"(?i)((?:[a-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key|jwt[_-]?key)[a-z0-9_-]*|[a-z0-9_.-]*token(?:[_-][a-z0-9_-]*)?|[_-]pass)(?:\\*["'])?\s*[:=]\s*(?:Some\()?\[?)(\\+"[^"]*|"(?:\\.|[^"\\])*|'[^']*|[^\s"';&]+)"#;
/// The rest of a header line that holds credentials; its scheme may be shown (RFC 9110 section 11.4).
const HEADER: &str = r#"(?i)(\b(?:proxy-)?authorization(?:\\*["'])?\s*[:=]\s*(?:\\*["'])?(?:(?:bearer|basic|digest|negotiate|apikey|token)\s+)?|\b(?:set-)?cookie(?:\\*["'])?\s*[:=]\s*(?:\\*["'])?)([^"'\r\n]+)"#;
/// `Bearer …` and `Basic …` anywhere.
const SCHEME: &str = r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}";
/// Credentials in a URL, up to its last `@` (RFC 3986 section 3.2.1), also where a password holds one.
const URL: &str = r"([a-zA-Z][a-zA-Z0-9+.-]*://)([^\s/?#]*)@";
/// What curl(1) and its like are told: `-u user:…`.
const USER: &str =
    r#"((?:^|[\s"'\[,])(?:-u|(?:-[A-Za-z]*u|--user|--proxy-user)[\s"',=]+)([^\s"',:=-][^\s"',:]*):)([^\s"',]+)"#;
/// A key in a query.
const QUERY: &str = r#"(?i)([?&](?:key|sig|signature|auth|code)=)[^\s&"'#]+"#;
/// A signed token (RFC 7519: `{"` is `eyJ` in base64) wherever it stands.
const SIGNED: &str = r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*";

static PATTERNS: LazyLock<[Regex; 7]> = LazyLock::new(|| {
    [NAMED, HEADER, SCHEME, URL, USER, QUERY, SIGNED].map(|pattern| Regex::new(pattern).expect("tested below"))
});

/// Shortest name before an `@` that may be a token instead.
const TOKEN_CHARS: usize = 16;

/// What is said of a file that keeps a secret, and has a name like one (`strerror(3)`): no secret begins like that.
const SAID_OF_FILES: [&str; 6] = [
    "no such file or directory",
    "permission denied",
    "operation not permitted",
    "is a directory",
    "not a directory",
    "read-only file system",
];

/// Words that make a field's name that of a secret, one or two of them.
const SECRET_WORDS: [&[&str]; 16] = [
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["secret"],
    &["token"],
    &["authorization"],
    &["cookie"],
    &["credential"],
    &["credentials"],
    &["jwt"],
    &["apikey"],
    &["api", "key"],
    &["access", "key"],
    &["private", "key"],
    &["signing", "key"],
    &["encryption", "key"],
];

/// Returns whether what a field of this name holds is never shown: `user.password`, `api_key`, `accessToken`, `set-cookie`.
/// Several tokens are a number of them.
pub fn is_secret_field(name: &str) -> bool {
    let name = parted(name);
    let words: Vec<&str> = name.split(['.', '_', '-']).collect();
    SECRET_WORDS.iter().any(|secret| words.windows(secret.len()).any(|part| part == *secret))
}

/// Parts words that a capital letter begins, and writes all of them small: `APIKey` is `api_key`.
fn parted(name: &str) -> String {
    let mut parted = String::with_capacity(name.len() + 4);
    let (mut before, mut chars) = (None::<char>, name.chars().peekable());
    while let Some(char) = chars.next() {
        let ends_capitals = chars.peek().is_some_and(char::is_ascii_lowercase);
        let is_parted = |before: char| before.is_ascii_lowercase() || before.is_ascii_uppercase() && ends_capitals;
        if char.is_ascii_uppercase() && before.is_some_and(is_parted) {
            parted.push('_');
        }
        parted.push(char.to_ascii_lowercase());
        before = Some(char);
    }
    parted
}

/// Returns the line with every known secret, and every value that looks like one, replaced.
pub fn redact_line(line: &str) -> String {
    let [named, header, scheme, url, user, query, signed] = &*PATTERNS;
    let line = super::redact(line);
    let line = signed.replace_all(&line, super::SHOWN);
    let line = header.replace_all(&line, "${1}[redacted]");
    let line = named.replace_all(&line, |found: &Captures<'_>| hide(found, &line));
    let line = scheme.replace_all(&line, "${1}[redacted]");
    let line = query.replace_all(&line, "${1}[redacted]");
    let line = url.replace_all(&line, |found: &Captures<'_>| {
        let [whole, scheme, who] = [0, 1, 2].map(|group| found.get(group).map_or("", |it| it.as_str()));
        match who.split_once(':') {
            Some((name, _password)) => format!("{scheme}{name}:[redacted]@"),
            None if who.len() >= TOKEN_CHARS => format!("{scheme}[redacted]@"),
            None => whole.to_owned(),
        }
    });
    user.replace_all(&line, |found: &Captures<'_>| {
        let [whole, before, user, password] = [0, 1, 2, 3].map(|group| found.get(group).map_or("", |it| it.as_str()));
        let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        // `--user 1000:1000` is a user and a group.
        let is_shown = (is_number(user) && is_number(password)) || leads_elsewhere(password);
        if is_shown { whole.to_owned() } else { format!("{before}[redacted]") }
    })
    .into_owned()
}

/// Writes the name, and of the value what may be shown: its quotes, and what ends a list.
fn hide(found: &Captures<'_>, line: &str) -> String {
    let (name, value) = (found.get(1), found.get(2));
    let rest = value.and_then(|value| line.get(value.start()..)).unwrap_or_default().to_ascii_lowercase();
    let [name, value] = [name, value].map(|part| part.map_or("", |part| part.as_str()));
    let bare = value.trim_start_matches(['\\', '"', '\'']);
    let quotes = value.get(..value.len() - bare.len()).unwrap_or_default();
    let ends: &[char] = if bare.starts_with("${") { &[','] } else { &['\\', ',', ')', ']', '}'] };
    let bare = bare.trim_end_matches(ends);
    // What was gone through before stays; its first bracket may have been taken for that of a list.
    let is_hidden = bare == "[redacted" || bare == "redacted" && name.ends_with('[') && quotes.is_empty();
    let after = value.get(quotes.len() + bare.len()..).unwrap_or_default();
    if SAID_OF_FILES.iter().any(|words| rest.starts_with(words))
        || leads_elsewhere(bare)
        || bare.is_empty()
        || is_hidden
    {
        return format!("{name}{value}");
    }
    format!("{name}{quotes}[redacted]{after}")
}

/// True for what says where a secret comes from: `${NAME}`, `${NAME:?why}` (its first word), or a mounted file.
fn leads_elsewhere(value: &str) -> bool {
    let name = value.trim_start_matches('$').trim_start_matches('{');
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let is_variable = value.starts_with("${") && rest.len() < name.len() && (rest == "}" || rest.starts_with(":?"));
    is_variable || value.starts_with("/run/secrets/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_everything_else_stays() {
        for (line, shown) in [
            ("DB_PASSWORD=hunter2 host=db", "DB_PASSWORD=[redacted] host=db"),
            (r#"{"api_key": "abc123", "n": 1}"#, r#"{"api_key": "[redacted]", "n": 1}"#),
            ("Authorization: Bearer abc.def-123", "Authorization: Bearer [redacted]"),
            ("postgres://app:s3cret@db:5432/x", "postgres://app:[redacted]@db:5432/x"),
            ("listening on http://127.0.0.1:8000", "listening on http://127.0.0.1:8000"),
            ("error: port already in use", "error: port already in use"),
            ("/etc/passwd: Permission denied", "/etc/passwd: Permission denied"),
            (
                "open /run/secrets/db_token: no such file or directory",
                "open /run/secrets/db_token: no such file or directory",
            ),
            ("secret/db/password: permission", "secret/db/password: [redacted]"),
            ("DB_PASS: hunter2, JWT_KEY=abc", "DB_PASS: [redacted], JWT_KEY=[redacted]"),
            ("curl -fu x; curl -u elastic:hunter2 http://x", "curl -fu x; curl -u elastic:[redacted] http://x"),
            ("[CMD, curl, --user, 'elastic:hunter2']", "[CMD, curl, --user, 'elastic:[redacted]']"),
            (r#"["curl", "-u", "elastic:hunter2"]"#, r#"["curl", "-u", "elastic:[redacted]"]"#),
            ("curl -fsu me:1234 x; curl -ume:1234 x", "curl -fsu me:[redacted] x; curl -ume:[redacted] x"),
            ("rsync -uav host:path; sort -u a; ls --url a:b", "rsync -uav host:path; sort -u a; ls --url a:b"),
            ("curl --user=elastic:${PASSWORD} x", "curl --user=elastic:${PASSWORD} x"),
            ("docker run --user 1000:1000 x", "docker run --user 1000:1000 x"),
            ("DB_PASSWORD: ${DB_PASSWORD:?set it}", "DB_PASSWORD: ${DB_PASSWORD:?set it}"),
            ("DB_PASSWORD: ${DB_PASSWORD:-hunter2}", "DB_PASSWORD: [redacted]"),
            ("DB_PASSWORD: $1234", "DB_PASSWORD: [redacted]"),
            ("DB_PASSWORD_FILE: /run/secrets/db", "DB_PASSWORD_FILE: /run/secrets/db"),
            ("tests_passed: 3", "tests_passed: 3"),
            // What was gone through before stays as it is.
            (r#"{"api_key": "[redacted]", "n": 1}"#, r#"{"api_key": "[redacted]", "n": 1}"#),
            ("password=[redacted], host=db", "password=[redacted], host=db"),
            ("password=[redacted]hunter2", "password=[[redacted]"),
            (r#"body="{\"password\":\"hunter2hunter2\",\"n\":1}""#, r#"body="{\"password\":\"[redacted]\",\"n\":1}""#),
            (
                "Settings { password: Some(\"hunter2\"), port: 1 }",
                "Settings { password: Some(\"[redacted]\"), port: 1 }",
            ),
            (r#"{"password":["hunter2"]}"#, r#"{"password":["[redacted]"]}"#),
            (r#"{"password": "correct horse battery", "n": 1}"#, r#"{"password": "[redacted]", "n": 1}"#),
            (r#"{"password":"ab\"cdefgh","n":1}"#, r#"{"password":"[redacted]","n":1}"#),
            ("password=ab,cdefgh of a", "password=[redacted] of a"),
            ("clone https://ghp_0123456789abcdef@github.com/x", "clone https://[redacted]@github.com/x"),
            ("clone ssh://git@github.com/x", "clone ssh://git@github.com/x"),
            ("postgres://u:pa@ss@db/x", "postgres://u:[redacted]@db/x"),
            ("HTTPS://user:pass@host", "HTTPS://user:[redacted]@host"),
            ("Authorization: ApiKey abc def", "Authorization: ApiKey [redacted]"),
            ("authorization: hunter2", "authorization: [redacted]"),
            ("Cookie: a=b; c=d", "Cookie: [redacted]"),
            (r#"{"set-cookie":"a=b; Path=/","n":1}"#, r#"{"set-cookie":"[redacted]","n":1}"#),
            ("GET /x?a=1&key=AIzaSyA HTTP/1.1", "GET /x?a=1&key=[redacted] HTTP/1.1"),
            ("max_tokens: 4096, access_token: abc", "max_tokens: 4096, access_token: [redacted]"),
            ("of eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmVk it is", "of [redacted] it is"),
        ] {
            assert_eq!(redact_line(line), shown);
        }
    }

    #[test]
    fn a_field_is_secret_by_a_word_of_its_name() {
        for (name, expected) in [
            ("password", true),
            ("user.Password", true),
            ("api_key", true),
            ("set-cookie", true),
            ("access_token", true),
            ("http.request.header.authorization", true),
            ("accessToken", true),
            ("clientSecret", true),
            ("APIKey", true),
            ("APIKEY", true),
            ("userPassword", true),
            ("maxTokens", false),
            ("tokens", false),
            ("alert.key", false),
            ("api.version", false),
            ("passed", false),
        ] {
            assert_eq!(is_secret_field(name), expected, "{name}");
        }
    }
}
