//! What a setting is, and how a group of them is declared and read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

/// The declaration of one setting.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// Whether the server refuses to start without it.
    pub required: bool,
    /// Whether it does so in production alone.
    pub required_in_production: bool,
    /// Whether its value must never be shown.
    pub secret: bool,
    /// What is used where the variable is unset or empty.
    pub default: Option<&'static str>,
    /// One sentence for a person.
    pub description: &'static str,
}

/// Declares a group of settings: a struct with a field for each, what `thunder config` tells of them, and how they are
/// read. A field's comment is the setting's description. What stands behind the name says how it is given:
///
/// - `required(NAME, rule)`: a secret that must be set;
/// - `production(NAME, rule)`: a secret that must be set in production, and may be elsewhere, in an `Option`;
/// - `secret(NAME, rule)`: a secret that may be set, in an `Option`;
/// - `plain(NAME, default, rule)`: anything else.
macro_rules! settings {
    (
        $(#[$about:meta])*
        pub struct $group:ident {
            $(
                #[doc = $description:literal]
                pub $field:ident: $type:ty = $kind:ident($($given:tt)+);
            )*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        #[allow(clippy::doc_markdown, reason = "the comments are shown to people who do not read Markdown")]
        pub struct $group {
            $(
                #[doc = $description]
                pub $field: $type,
            )*
        }

        impl $group {
            /// What these settings are.
            pub const SETTINGS: &[$crate::config::setting::Setting] =
                &[$($crate::config::setting::declare!($kind($($given)+), $description),)*];

            /// Reads all of them, even after one that is wrong.
            pub(in $crate::config) fn read(reader: &mut $crate::config::setting::Reader<'_>) -> Option<Self> {
                $(let $field = $crate::config::setting::take!(reader, $kind($($given)+));)*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}
pub(super) use settings;

/// The declaration of one setting of a group.
macro_rules! declare {
    (required($name:literal, $parse:expr), $description:literal) => {
        $crate::config::setting::Setting {
            name: $name,
            required: true,
            required_in_production: false,
            secret: true,
            default: None,
            description: $description.trim_ascii(),
        }
    };
    (production($name:literal, $parse:expr), $description:literal) => {
        $crate::config::setting::Setting {
            name: $name,
            required: false,
            required_in_production: true,
            secret: true,
            default: None,
            description: $description.trim_ascii(),
        }
    };
    (secret($name:literal, $parse:expr), $description:literal) => {
        $crate::config::setting::Setting {
            name: $name,
            required: false,
            required_in_production: false,
            secret: true,
            default: None,
            description: $description.trim_ascii(),
        }
    };
    (plain($name:literal, $default:literal, $parse:expr), $description:literal) => {
        $crate::config::setting::Setting {
            name: $name,
            required: false,
            required_in_production: false,
            secret: false,
            default: Some($default),
            description: $description.trim_ascii(),
        }
    };
}
pub(super) use declare;

/// The value of one setting of a group.
macro_rules! take {
    ($reader:ident, required($name:literal, $parse:expr)) => {
        $reader.required($name, $parse)
    };
    ($reader:ident, production($name:literal, $parse:expr)) => {
        $reader.optional($name, $parse)
    };
    ($reader:ident, secret($name:literal, $parse:expr)) => {
        $reader.optional($name, $parse)
    };
    ($reader:ident, plain($name:literal, $default:literal, $parse:expr)) => {
        $reader.or($name, $default, $parse)
    };
}
pub(super) use take;

/// A setting that is wrong or missing.
#[derive(Debug, Serialize)]
pub struct SettingProblem {
    /// Which one.
    pub name: &'static str,
    /// What is wrong with it, to be read after its name; never its value.
    pub problem: String,
}

/// Reads settings and keeps every problem.
pub(super) struct Reader<'a> {
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    pub problems: Vec<SettingProblem>,
}

impl Reader<'_> {
    pub fn find(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub fn required<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let Some(value) = self.find(name) else {
            self.problem(name, "is not set");
            return None;
        };
        parse(&value).map_err(|problem| self.problem(name, problem)).ok()
    }

    /// `Some(None)` where it is not set.
    #[expect(clippy::option_option, reason = "the outer one is whether it is wrong, the inner one whether it is there")]
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.find(name) {
            None => Some(None),
            Some(value) => parse(&value).map(Some).map_err(|problem| self.problem(name, problem)).ok(),
        }
    }

    pub fn or<T>(
        &mut self,
        name: &'static str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.find(name).unwrap_or_else(|| default.to_owned());
        parse(&value).map_err(|problem| self.problem(name, problem)).ok()
    }

    pub fn problem(&mut self, name: &'static str, problem: impl Into<String>) {
        self.problems.push(SettingProblem { name, problem: problem.into() });
    }
}

/// A value that must not appear in a log, an error or a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Any value.
    #[expect(clippy::unnecessary_wraps, reason = "used as a rule, and others refuse values")]
    pub(super) fn parse(value: &str) -> Result<Self, String> {
        Ok(Self::from(value))
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Anything that its type can read.
pub(super) fn parsed<T: FromStr>(problem: &'static str) -> impl Fn(&str) -> Result<T, String> {
    move |value| value.parse().map_err(|_| problem.to_owned())
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |value| {
        words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("must be {}", known.join(" or "))
        })
    }
}

/// From a second to an hour.
pub(super) fn seconds(value: &str) -> Result<Duration, String> {
    match value.parse() {
        Ok(count @ 1..=3600) => Ok(Duration::from_secs(count)),
        _ => Err("must be a whole number of seconds from 1 to 3600".to_owned()),
    }
}
