//! What is counted apart, and how much of it one client may ask for.

use crate::config::RateLimitSettings;

/// What is counted apart from all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Any request, of a user or else of an address.
    Default,
    /// Attempts of one address to guess, or to have mail sent.
    Password,
    /// Attempts on one account, from wherever they come.
    Account,
}

/// The routes of [`Class::Password`]: each takes a password or a token instead of one, or sends mail to an address that
/// anybody may name.
pub const PASSWORD_ROUTES: [&str; 6] = [
    "/api/v1/auth/sign-up",
    "/api/v1/auth/confirm-email",
    "/api/v1/auth/sign-in",
    "/api/v1/auth/password-reset",
    "/api/v1/auth/password-reset/confirm",
    "/api/v1/me/password",
];

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Default, Self::Password, Self::Account];

    /// How headers and Redis call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Password => "password",
            Self::Account => "account",
        }
    }

    /// How many requests of a client it lets through in a window.
    pub fn limit(self, settings: &RateLimitSettings) -> u32 {
        match self {
            Self::Default => settings.requests,
            Self::Password | Self::Account => settings.passwords,
        }
    }

    /// What a request to a route counts as.
    pub fn of_route(pattern: &str) -> Self {
        if PASSWORD_ROUTES.contains(&pattern) { Self::Password } else { Self::Default }
    }
}
