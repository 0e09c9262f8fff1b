//! Access tokens: JSON Web Tokens (RFC 7519) signed with HS256, good for a quarter of an hour.
//!
//! jsonwebtoken brings the format and its checks, and takes cryptography from elsewhere. Its own choices bring either RSA
//! with a known weakness or a second C library; HMAC is in ring, which TLS needs anyway.

use std::sync::Once;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::config::{Secret, SigningSettings};

/// How long an access token is good for.
pub const LIFETIME: Duration = Duration::from_mins(15);
const ISSUER: &str = "thunder";
const AUDIENCE: &str = "thunder-api";

/// What an access token says. What its session may do is not in it: that can change at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user: Uuid,
    /// The session that it belongs to.
    pub session: Uuid,
}

/// The claims as they are written (RFC 7519 §4.1).
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: Uuid,
    sid: Uuid,
    iat: i64,
    exp: i64,
}

/// Why an access token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its time is over; a refresh brings a new one.
    Expired,
    /// It is not one of ours.
    Invalid,
}

/// What signs and checks access tokens.
pub struct AccessTokens {
    header: Header,
    current: EncodingKey,
    /// By the name in a token's header.
    keys: Vec<(String, DecodingKey)>,
    validation: Validation,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessTokens(***)")
    }
}

impl AccessTokens {
    /// With the secret for access tokens, and the one before it where there is one.
    pub fn new(settings: &SigningSettings) -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            // Somebody else's provider would be one that this process installed elsewhere, and there is no such place.
            _ = PROVIDER.install_default();
        });
        let secrets: Vec<&Secret> = std::iter::once(&settings.access).chain(&settings.access_previous).collect();
        let keys = secrets.iter().map(|secret| (key_id(secret), DecodingKey::from_secret(secret.reveal().as_bytes())));
        let mut validation = Validation::new(Algorithm::HS256);
        // A clock that is behind would otherwise lengthen every token's life by a minute.
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Self {
            header: Header { kid: Some(key_id(&settings.access)), ..Header::new(Algorithm::HS256) },
            current: EncodingKey::from_secret(settings.access.reveal().as_bytes()),
            keys: keys.collect(),
            validation,
        }
    }

    /// A token for a session, good from now on.
    pub fn issue(&self, claims: Claims, now: OffsetDateTime) -> Result<String, Error> {
        let issued = now.unix_timestamp();
        let written = Written {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: claims.user,
            sid: claims.session,
            iat: issued,
            exp: issued + i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX),
        };
        jsonwebtoken::encode(&self.header, &written, &self.current)
    }

    /// What a token says, if it is ours and its time is not over.
    pub fn check(&self, token: &str) -> Result<Claims, Refused> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Invalid)?;
        let named = |(id, _): &&(String, DecodingKey)| header.kid.as_ref() == Some(id);
        let (_, key) = self.keys.iter().find(named).ok_or(Refused::Invalid)?;
        let data = jsonwebtoken::decode::<serde_json::Value>(token, key, &self.validation);
        let data = data.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Refused::Expired,
            _ => Refused::Invalid,
        })?;
        let id = |name: &str| data.claims[name].as_str().and_then(|text| Uuid::try_parse(text).ok());
        Ok(Claims { user: id("sub").ok_or(Refused::Invalid)?, session: id("sid").ok_or(Refused::Invalid)? })
    }
}

/// A name for a secret that tells nothing of it.
fn key_id(secret: &Secret) -> String {
    let hash = digest::digest(&digest::SHA256, secret.reveal().as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..6])
}

/// HMAC of ring, and nothing else.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        let key = hs256(*algorithm, key.as_bytes())?;
        Ok(Box::new(Hs256(key)))
    },
    verifier_factory: |algorithm, key| {
        let key = hs256(*algorithm, key.try_get_as_bytes()?)?;
        Ok(Box::new(Hs256(key)))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

fn hs256(algorithm: Algorithm, secret: &[u8]) -> Result<hmac::Key, Error> {
    match algorithm {
        Algorithm::HS256 => Ok(hmac::Key::new(hmac::HMAC_SHA256, secret)),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Hs256(hmac::Key);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

#[cfg(test)]
mod tests {
    use time::ext::NumericalDuration as _;

    use super::*;

    fn tokens(access: &str, previous: Option<&str>) -> AccessTokens {
        AccessTokens::new(&SigningSettings {
            access: access.into(),
            access_previous: previous.map(Into::into),
            refresh: "r".into(),
            refresh_previous: None,
        })
    }

    fn claims() -> Claims {
        Claims { user: Uuid::from_u128(1), session: Uuid::from_u128(2) }
    }

    fn part(value: &serde_json::Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    #[test]
    fn a_token_says_whose_it_is_until_its_time_is_over() {
        let tokens = tokens("secret", None);
        let now = OffsetDateTime::now_utc();
        let fresh = tokens.issue(claims(), now).unwrap();
        assert_eq!(tokens.check(&fresh), Ok(claims()));
        let nearly = tokens.issue(claims(), now - 895.seconds()).unwrap();
        assert_eq!(tokens.check(&nearly), Ok(claims()));
        let over = tokens.issue(claims(), now - 901.seconds()).unwrap();
        assert_eq!(tokens.check(&over), Err(Refused::Expired));
    }

    #[test]
    fn a_token_that_was_tampered_with_is_refused() {
        let tokens = tokens("secret", None);
        let good = tokens.issue(claims(), OffsetDateTime::now_utc()).unwrap();
        let parts: Vec<&str> = good.split('.').collect();
        let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
        let with = |key: &str, value: serde_json::Value| {
            let mut header = header.clone();
            header[key] = value;
            format!("{}.{}.{}", part(&header), parts[1], parts[2])
        };
        let mut other: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        other["sub"] = Uuid::from_u128(3).to_string().into();
        for bad in [
            String::new(),
            "x".to_owned(),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}.{}", parts[0], part(&other), parts[2]),
            with("alg", "none".into()),
            with("alg", "HS512".into()),
            with("kid", "other".into()),
            format!("{good}x"),
        ] {
            assert_eq!(tokens.check(&bad), Err(Refused::Invalid), "{bad}");
        }
    }

    /// Signs claims of any shape with the right key.
    fn signed(tokens: &AccessTokens, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&tokens.header, claims, &tokens.current).unwrap()
    }

    #[test]
    fn claims_for_others_and_without_an_end_are_refused() {
        let tokens = tokens("secret", None);
        let good = serde_json::json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": Uuid::from_u128(1), "sid": Uuid::from_u128(2),
            "exp": OffsetDateTime::now_utc().unix_timestamp() + 60,
        });
        assert_eq!(tokens.check(&signed(&tokens, &good)), Ok(claims()));
        for (key, value) in [
            ("iss", serde_json::json!("other")),
            ("aud", serde_json::json!("other")),
            ("exp", serde_json::Value::Null),
            ("sub", serde_json::json!("not an id")),
            ("sid", serde_json::Value::Null),
        ] {
            let mut claims = good.clone();
            claims[key] = value;
            assert_eq!(tokens.check(&signed(&tokens, &claims)), Err(Refused::Invalid), "{key}");
        }
    }

    #[test]
    fn a_token_of_the_secret_before_is_good_as_long_as_that_is_named() {
        let old = tokens("old", None).issue(claims(), OffsetDateTime::now_utc()).unwrap();
        assert_eq!(tokens("new", Some("old")).check(&old), Ok(claims()));
        assert_eq!(tokens("new", None).check(&old), Err(Refused::Invalid));
        let new = tokens("new", Some("old")).issue(claims(), OffsetDateTime::now_utc()).unwrap();
        assert_eq!(tokens("old", None).check(&new), Err(Refused::Invalid), "signed with the new one");
    }
}
