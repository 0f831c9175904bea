//! An account that a check makes for itself, and its password.

use std::fmt;

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// Whose inbox these addresses are: nobody's, ever (RFC 2606 section 2).
const DOMAIN: &str = "auth-monitor.invalid";
/// What every such address begins with.
const PREFIX: &str = "auth-monitor";
/// Longest part of an instance's name in an address, in characters: 64 bytes stand before the @ (RFC 5321 section
/// 4.5.3.1.1), of which prefix, separators and the 32 digits of a UUID take 46.
const MAX_INSTANCE_CHARS: usize = 18;
/// What rules for passwords want beside length.
const EVERY_CLASS: &str = "Aa1!";

/// Name and password of somebody who signs in.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) email: String,
    pub(crate) password: SecretString,
}

impl fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.email).finish()
    }
}

impl Credentials {
    /// Makes those of an account that nobody has.
    pub(crate) fn fresh(instance: &str) -> Self {
        let email = format!("{PREFIX}+{}-{}@{DOMAIN}", short(instance), Uuid::new_v4().simple());
        Self { email, password: fresh_password() }
    }

    /// The same account with a password that is not its own.
    pub(crate) fn with_wrong_password(&self) -> Self {
        Self { email: self.email.clone(), password: fresh_password() }
    }

    /// The body of a login.
    pub(crate) fn login(&self) -> Json {
        json!({ "email": self.email, "password": self.password.expose_secret() })
    }

    /// The body of a registration.
    pub(crate) fn registration(&self) -> Json {
        json!({ "name": "Auth Monitor", "email": self.email, "password": self.password.expose_secret() })
    }
}

/// 128 random bits, and a character of each class.
fn fresh_password() -> SecretString {
    format!("{EVERY_CLASS}{}", HEXLOWER.encode(&rand::random::<[u8; 16]>())).into()
}

/// What of an instance's name may stand in an address.
fn short(instance: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let short: String = instance.chars().take(MAX_INSTANCE_CHARS).map(plain).collect();
    short.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_nobodys_new_each_time_and_short_enough_whatever_the_instance_is_called() {
        for (instance, shown) in [
            ("web-1", "web-1"),
            ("Host.Example.com", "host-example-com"),
            ("ü", ""),
            ("a-very-long-name-of-a-host", "a-very-long-name-o"),
        ] {
            let email = Credentials::fresh(instance).email;
            assert!(email.starts_with(&format!("auth-monitor+{shown}-")), "{email}");
            assert!(email.ends_with("@auth-monitor.invalid"), "{email}");
            assert!(email.split('@').next().unwrap().len() <= 64, "{email}");
            assert_ne!(email, Credentials::fresh(instance).email);
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let credentials = Credentials::fresh("a");
        assert!(!format!("{credentials:?}").contains(credentials.password.expose_secret()));
        assert_ne!(credentials.with_wrong_password().password.expose_secret(), credentials.password.expose_secret());
    }
}
