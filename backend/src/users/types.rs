//! What a user is made of, and its rules.

use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::actor::Role;
use crate::request::rules::{Rule, Words, line};
use crate::request::{Input, Members, text, word};

/// Whether an account can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum UserStatus {
    /// It can.
    Active,
    /// An administrator has disabled it.
    Disabled,
}

impl Words for UserStatus {
    const WORDS: &'static [(&'static str, Self)] = &[("active", Self::Active), ("disabled", Self::Disabled)];
}

/// A user.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// What others call the user.
    pub handle: String,
    /// A name for people; may be empty.
    pub name: String,
    /// Where mail goes; none for one who never had an account.
    pub email: Option<String>,
    /// What the user is to the platform.
    pub role: Role,
    /// Whether the account can be used.
    pub status: UserStatus,
    /// Whether an automatic check made it, and is going to remove it.
    pub temporary: bool,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// What users may change about themselves.
#[derive(Debug)]
pub struct ProfileChange {
    /// At most 80 characters.
    pub name: Option<String>,
}

impl Input for ProfileChange {
    const MOST_BYTES: usize = 4 * 1024;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let name = members.optional("name", text(line(0, 80)));
        Some(Self { name: name? })
    }
}

/// What administrators may change about others.
#[derive(Debug)]
pub struct UserChange {
    /// The new role.
    pub role: Option<Role>,
    /// The new status.
    pub status: Option<UserStatus>,
}

impl Input for UserChange {
    const MOST_BYTES: usize = 4 * 1024;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let role = members.optional("role", word);
        let status = members.optional("status", word);
        Some(Self { role: role?, status: status? })
    }
}

/// What an automatic check asks for.
#[derive(Debug)]
pub struct NewTemporaryUser {
    /// A researcher or a triager: what is made without a person looks after nobody.
    pub role: Role,
}

impl Input for NewTemporaryUser {
    const MOST_BYTES: usize = 1024;

    fn read(members: &mut Members<'_>) -> Option<Self> {
        let role = members.required("role", word);
        if role == Some(Role::Admin) {
            members.refuse("role", None, None, "must be one of researcher, triager");
        }
        Some(Self { role: role? })
    }
}

/// The same rule as the database's `users_handle_check`.
pub fn handle(text: &str) -> Rule {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_handle = (2..=39).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || byte == b'-' || byte == b'_');
    if is_handle {
        Ok(())
    } else {
        Err("must be 2 to 39 of a-z, 0-9, - and _, starting with a letter or a digit".into())
    }
}

/// What can be an address: it is told from others by mail that arrives, and not by its letters.
pub fn email(text: &str) -> Rule {
    let is_plain =
        text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control() || b" <>(),;:\\\"[]".contains(&byte));
    let parts = text.rsplit_once('@').filter(|(local, domain)| {
        let labels = || domain.split('.');
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        (1..=64).contains(&local.len()) && !local.contains('@') && labels().count() > 1 && labels().all(is_label)
    });
    if is_plain && text.len() <= 254 && parts.is_some() {
        Ok(())
    } else {
        Err("must be an e-mail address such as name@example.com".into())
    }
}

/// NIST SP 800-63B §3.1.1: length counts, and not which letters are in it. What is longer than 128 characters is no
/// stronger, and costs time.
pub fn password(text: &str) -> Rule {
    match text.chars().count() {
        0..12 => Err("must be at least 12 characters long".into()),
        12..=128 => Ok(()),
        _ => Err("must be at most 128 characters long".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_what_the_database_accepts() {
        for good in ["ab", "0x", "night_owl-7"] {
            assert!(handle(good).is_ok(), "{good}");
        }
        for bad in ["a", "-ab", "_ab", "Ab", "a b", "ä1", &"a".repeat(40)] {
            assert!(handle(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_name_and_a_domain_and_nothing_that_a_mail_header_could_mistake() {
        for good in ["a@b.example", "first.last+tag@sub.example.com", "O'Hara@example.com"] {
            assert!(email(good).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "",
            "a",
            "@b.example",
            "a@",
            "a@b",
            "a@-b.example",
            "a@b..example",
            "a@@b.example",
            "a b@c.example",
            "a@b.example\r\nBcc: x@y.example",
            "a,b@c.example",
            "<a@b.example>",
            "ä@b.example",
            &long,
        ] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_long_enough_and_not_endless() {
        assert!(password("correct horse").is_ok() && password(&"ä".repeat(128)).is_ok());
        assert!(password("short").is_err() && password(&"x".repeat(129)).is_err());
    }
}
