//! `If-Match`: a change is made only to the version that its sender has seen (RFC 9110 §13.1.1).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::problem::{Kind, Problem};

/// The entity tag of a version.
pub fn etag(version: i64) -> HeaderValue {
    // Digits and quotes are always a header's value.
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Which versions a request wants to change: any of them, where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfMatch(Option<Vec<String>>);

impl IfMatch {
    fn of(headers: &HeaderMap) -> Self {
        let lines: Vec<&str> =
            headers.get_all(header::IF_MATCH).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        if lines.is_empty() {
            return Self(None);
        }
        let tags = lines.iter().flat_map(|line| line.split(',')).map(|tag| tag.trim().to_owned());
        Self(Some(tags.collect()))
    }

    /// Lets pass what is at a version that the request wants to change.
    pub fn check(&self, version: i64) -> Result<(), Problem> {
        let Some(tags) = &self.0 else { return Ok(()) };
        let current = format!("\"{version}\"");
        // Weak tags never match here (RFC 9110 §8.8.3.2).
        if tags.iter().any(|tag| *tag == current || tag == "*") {
            return Ok(());
        }
        let detail = format!("It is at version {current} now; read it again and decide anew.");
        Err(Problem::from(Kind::PreconditionFailed).detail(detail))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&'static str], version: i64) -> bool {
        let headers = lines.iter().map(|line| (header::IF_MATCH, HeaderValue::from_static(line))).collect();
        IfMatch::of(&headers).check(version).is_ok()
    }

    #[test]
    fn the_version_that_was_seen_is_changed_and_no_other() {
        assert!(check(&[], 3));
        assert!(
            check(&["\"3\""], 3) && check(&["\"1\", \"3\""], 3) && check(&["\"1\"", "\"3\""], 3) && check(&["*"], 3)
        );
        for other in ["\"2\"", "3", "W/\"3\"", "", "\"33\""] {
            assert!(!check(&[other], 3), "{other}");
        }
    }
}
