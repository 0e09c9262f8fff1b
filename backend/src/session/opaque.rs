//! Random tokens: refresh tokens, and those that are sent by mail.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::config::SigningSettings;

/// What a client is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// One that nobody has seen.
    pub fn random() -> Self {
        Self(crate::random::bytes())
    }

    /// The text that a client sends; none if it cannot be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The text for the client.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// What makes hashes of tokens for the database. Whoever reads them there can neither use nor forge one.
pub struct TokenHasher {
    current: Key,
    previous: Option<Key>,
}

impl std::fmt::Debug for TokenHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHasher(***)")
    }
}

impl TokenHasher {
    /// With the secret for refresh tokens, and the one before it where there is one.
    pub fn new(settings: &SigningSettings) -> Self {
        let key = |secret: &crate::config::Secret| Key::new(HMAC_SHA256, secret.reveal().as_bytes());
        Self { current: key(&settings.refresh), previous: settings.refresh_previous.as_ref().map(key) }
    }

    /// The hash to store.
    pub fn hash(&self, token: &Token) -> Vec<u8> {
        sign(&self.current, &token.0).as_ref().to_vec()
    }

    /// The hashes under which a token may be stored: also that of the secret before this one.
    pub fn hashes(&self, token: &Token) -> Vec<Vec<u8>> {
        let keys = std::iter::once(&self.current).chain(&self.previous);
        keys.map(|key| sign(key, &token.0).as_ref().to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(refresh: &str, previous: Option<&str>) -> SigningSettings {
        SigningSettings {
            access: "a".into(),
            access_previous: None,
            refresh: refresh.into(),
            refresh_previous: previous.map(Into::into),
        }
    }

    #[test]
    fn a_token_comes_back_as_it_was_given_out_and_nothing_else_does() {
        let token = Token::random();
        assert!(Token::parse(&token.text()) == Some(token.clone()));
        assert!(token != Token::random());
        for wrong in ["", "x", &"A".repeat(42), &"A".repeat(44), "!!!"] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_found_after_the_secret_was_changed() {
        let token = Token::random();
        let old = TokenHasher::new(&settings("old", None)).hash(&token);
        assert!(TokenHasher::new(&settings("new", Some("old"))).hashes(&token).contains(&old));
        assert!(!TokenHasher::new(&settings("new", None)).hashes(&token).contains(&old));
    }
}
