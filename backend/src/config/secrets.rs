//! The secrets that the service keeps or asks for.

use super::setting::{Secret, settings};

settings! {
    /// What tokens are signed with.
    pub struct SigningSettings {
        /// Signs access tokens: at least 32 characters, different in every environment.
        pub access: Secret = required("JWT_SECRET", long);
        /// The JWT_SECRET before this one, while tokens that it signed may be in use: for a quarter of an hour after a change.
        pub access_previous: Option<Secret> = secret("JWT_SECRET_PREVIOUS", long);
        /// Signs refresh tokens: at least 32 characters, and not the same as JWT_SECRET.
        pub refresh: Secret = required("JWT_REFRESH_SECRET", long);
        /// The JWT_REFRESH_SECRET before this one, while sessions of its time go on: for thirty days after a change.
        pub refresh_previous: Option<Secret> = secret("JWT_REFRESH_SECRET_PREVIOUS", long);
    }
}

settings! {
    /// What those who operate the service show to it.
    pub struct OperatorSettings {
        /// When set, only `Authorization: Bearer <token>` sees the details of /api/v1/health and makes temporary users for automatic checks; production requires it, with at least 32 characters.
        pub health_token: Option<Secret> = production("HEALTH_TOKEN", Secret::parse);
    }
}

/// HS256 keys shorter than the hash are refused: RFC 7518 §3.2 asks for at least 256 bits.
pub(super) fn long(value: &str) -> Result<Secret, String> {
    if value.len() < 32 {
        return Err("must be at least 32 characters long".to_owned());
    }
    Ok(Secret::from(value))
}
