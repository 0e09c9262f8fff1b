//! How much one client may ask for.

use super::setting::settings;

settings! {
    /// How much one client may ask for.
    pub struct RateLimitSettings {
        /// Requests that one user, or one address without a user, may send in a minute.
        pub requests: u32 = plain("RATE_LIMIT_MAX", "600", count);
        /// Requests with a password, or that send mail, that may come from one address in a minute.
        pub passwords: u32 = plain("RATE_LIMIT_PASSWORDS", "10", count);
    }
}

fn count(value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(count @ 1..=1_000_000_000) => Ok(count),
        _ => Err("must be a whole number from 1 to 1000000000".to_owned()),
    }
}
