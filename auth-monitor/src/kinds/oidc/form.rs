//! The forms of an HTML page, and what a person who has an account sends with them (HTML, section 4.10.21).

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use secrecy::ExposeSecret;

use crate::account::Credentials;

/// Characters of a page's title that are shown, at most.
const MAX_TITLE_CHARS: usize = 80;
/// Types of fields that people write a name or an address into; a field without a type is `text`.
const WRITTEN: [&str; 3] = ["text", "email", "tel"];
/// Types of fields that send nothing by themselves.
const SILENT: [&str; 4] = ["reset", "button", "image", "file"];

/// What a page shows.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// For people; cut.
    pub(super) title: String,
    forms: Vec<Form>,
}

/// One form, as it is before anybody fills it in.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// Where it is sent; empty is the page itself.
    pub(super) action: String,
    /// Whether it is sent as a body. As a query, which is logged by many, nobody's password may go.
    is_post: bool,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: String,
    value: String,
    is_checked: bool,
}

/// What a form asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// A password, with or without a name.
    Password,
    /// A name alone.
    Name,
    /// Whether to go on.
    Consent,
}

impl Page {
    /// Reads a page; what is no HTML is a page without forms.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut emitter = DefaultEmitter::default();
        // The text of a script holds no forms.
        emitter.naively_switch_states(true);
        let (mut page, mut is_in_form, mut is_in_title) = (Self::default(), false, false);
        for token in Tokenizer::new_with_emitter(body, emitter) {
            let Ok(token) = token;
            match token {
                Token::StartTag(tag) => match &**tag.name {
                    b"form" => {
                        page.forms.push(Form::begin(&tag));
                        is_in_form = true;
                    }
                    b"input" | b"button" | b"textarea" if is_in_form => {
                        page.forms.last_mut().into_iter().for_each(|form| form.fields.extend(Field::read(&tag)));
                    }
                    b"title" => is_in_title = page.title.is_empty(),
                    _ => {}
                },
                Token::EndTag(tag) => match &**tag.name {
                    b"form" => is_in_form = false,
                    b"title" => is_in_title = false,
                    _ => {}
                },
                Token::String(text) if is_in_title => page.title.push_str(&String::from_utf8_lossy(&text)),
                _ => {}
            }
        }
        let title = page.title.split_whitespace().collect::<Vec<_>>().join(" ");
        page.title = title.chars().take(MAX_TITLE_CHARS).collect();
        page
    }

    /// Returns the form to go on with: for a password, or else for a name, or else one that only wants to be sent.
    pub(super) fn way_on(&self) -> Option<(&Form, Asks)> {
        let found = |asks: Asks| self.forms.iter().find(|form| form.asks() == Some(asks)).map(|form| (form, asks));
        found(Asks::Password).or_else(|| found(Asks::Name)).or_else(|| found(Asks::Consent))
    }
}

impl Form {
    fn begin(tag: &StartTag<()>) -> Self {
        let is_post = attribute(tag, "method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
        Self { action: attribute(tag, "action").unwrap_or_default(), is_post, fields: Vec::new() }
    }

    fn asks(&self) -> Option<Asks> {
        let is_written = |field: &Field| WRITTEN.contains(&field.kind.as_str());
        if !self.is_post {
            return None;
        }
        if self.fields.iter().any(|field| field.kind == "password") {
            return Some(Asks::Password);
        }
        match self.fields.iter().filter(|field| is_written(field)).count() {
            0 => Some(Asks::Consent),
            1 => Some(Asks::Name),
            _ => None,
        }
    }

    /// Returns what a person sends: the name in the field before the password, everything hidden as it is, and the first
    /// of its buttons.
    pub(super) fn filled_in(&self, who: &Credentials) -> Vec<(String, String)> {
        let password = self.fields.iter().position(|field| field.kind == "password").unwrap_or(self.fields.len());
        let is_written = |field: &Field| WRITTEN.contains(&field.kind.as_str());
        let name = self.fields.iter().take(password).rposition(is_written);
        let mut sent = Vec::new();
        let mut has_button = false;
        for (place, field) in self.fields.iter().enumerate() {
            let value = match field.kind.as_str() {
                _ if Some(place) == name => who.email.as_str(),
                "password" if place == password => who.password.expose_secret(),
                "submit" if std::mem::replace(&mut has_button, true) => continue,
                "checkbox" | "radio" if !field.is_checked => continue,
                kind if SILENT.contains(&kind) => continue,
                _ => field.value.as_str(),
            };
            if !field.name.is_empty() {
                sent.push((field.name.clone(), value.to_owned()));
            }
        }
        sent
    }
}

impl Field {
    /// None for one that is not sent.
    fn read(tag: &StartTag<()>) -> Option<Self> {
        if attribute(tag, "disabled").is_some() {
            return None;
        }
        let usual = match &**tag.name {
            b"button" => "submit",
            b"textarea" => "textarea",
            _ => "text",
        };
        let kind = attribute(tag, "type").unwrap_or_else(|| usual.to_owned()).to_ascii_lowercase();
        let value = attribute(tag, "value");
        let is_box = matches!(kind.as_str(), "checkbox" | "radio");
        let value = value.unwrap_or_else(|| if is_box { "on".to_owned() } else { String::new() });
        let name = attribute(tag, "name").unwrap_or_default();
        Some(Self { name, kind, value, is_checked: attribute(tag, "checked").is_some() })
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    tag.attributes.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way on from a page, as `METHOD ACTION name=value…`.
    fn way_on(html: &str) -> String {
        let who = Credentials { email: "ada@example.com".to_owned(), password: "pass".into() };
        let page = Page::read(html.as_bytes());
        let Some((form, asks)) = page.way_on() else { return "none".to_owned() };
        let fields: String = form.filled_in(&who).iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!("{asks:?} {}{fields}", form.action)
    }

    #[test]
    fn a_form_is_filled_in_as_a_person_does_it() {
        for (html, expected) in [
            ("<p>no form</p>", "none"),
            (
                "<form action='/search'><input name=q></form><form method=POST action=\"/in?a=1&amp;b=2\">
                 <input type=hidden name=csrf value='a&quot;b'><input name=login><INPUT TYPE=Password NAME=pw>
                 <input type=checkbox name=stay><button name=go value=1>In</button><button name=cancel>No</button></form>",
                "Password /in?a=1&b=2 csrf=a\"b login=ada@example.com pw=pass go=1",
            ),
            (
                "<form method=post><input type=email name=user><input type=submit value=Next></form>",
                "Name  user=ada@example.com",
            ),
            (
                "<form method=post action=/c><input type=hidden name=p value=consent><button>Yes</button></form>",
                "Consent /c p=consent",
            ),
            ("<script>'<form method=post><input type=password name=a>'</script>", "none"),
            ("<!-- <form method=post> --><form><input name=q></form>", "none"),
            ("<form method=post><input name=a><input name=b></form>", "none"),
            ("<form><input name=u><input type=password name=p></form>", "none"),
            (
                "<form method=post><input name=u disabled><input type=checkbox name=c checked><input type=password name=p>",
                "Password  c=on p=pass",
            ),
        ] {
            assert_eq!(way_on(html), expected, "{html}");
        }
    }

    #[test]
    fn a_title_is_one_short_line() {
        assert_eq!(Page::read(b"<title>Sign\n in &lt;3</title><title>b</title>").title, "Sign in <3");
        assert_eq!(Page::read(format!("<title>{}", "x".repeat(500)).as_bytes()).title.len(), MAX_TITLE_CHARS);
    }
}
