//! Who makes a request: signed in or not, in which role, and from which address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::config::Config;
use crate::problem::Problem;
use crate::request::rules::Words;
use crate::session::{Identity, Refused};

/// The other end of a request's connection, as the server notes it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What a user is to the whole platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Role {
    /// Sends reports.
    Researcher,
    /// Works on the reports of the programs that they are a member of.
    Triager,
    /// Looks after everything.
    Admin,
}

impl Words for Role {
    const WORDS: &'static [(&'static str, Self)] =
        &[("researcher", Self::Researcher), ("triager", Self::Triager), ("admin", Self::Admin)];
}

/// The user who makes a request, if there is one.
#[derive(Debug, Clone, Copy)]
pub struct Actor {
    /// The user and the session.
    pub identity: Option<Identity>,
}

impl FromRequestParts<App> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Some(shown) = parts.headers.get(header::AUTHORIZATION) else { return Ok(Self { identity: None }) };
        let token =
            bearer(shown.as_bytes()).ok_or_else(|| invalid("The `Authorization` header holds no bearer token."))?;
        let claims = app.sessions.check(token).map_err(|refused| match refused {
            Refused::Expired => invalid("The access token has expired; a refresh brings a new one."),
            Refused::Invalid => invalid("The access token is not one of this service."),
        })?;
        let identity = app.sessions.identify(claims).await?;
        let identity = identity.ok_or_else(|| invalid("The session has ended; sign in again."))?;
        Ok(Self { identity: Some(identity) })
    }
}

/// The user who makes a request; a request without one is refused.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn {
    /// The user and the session.
    pub identity: Identity,
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Actor { identity } = Actor::from_request_parts(parts, app).await?;
        identity.map(|identity| Self { identity }).ok_or_else(Problem::sign_in_required)
    }
}

/// From which address a request comes.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<Peer>().copied();
        Ok(Self(client_address(app.config.listen.trusted_proxies, peer, &parts.headers)))
    }
}

/// Whether a request shows that it comes from whoever operates the service.
#[derive(Debug, Clone, Copy)]
pub struct Operator(pub bool);

impl FromRequestParts<App> for Operator {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self(is_operator(&app.config, &parts.headers)))
    }
}

/// Whoever shows the token; everybody, where none is set, as while developing.
fn is_operator(config: &Config, headers: &HeaderMap) -> bool {
    let Some(token) = &config.operator.health_token else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    // In a time that tells nothing about the token.
    given.is_some_and(|given| given.as_bytes().ct_eq(token.reveal().as_bytes()).into())
}

/// The token of an `Authorization` header. The scheme is compared without case (RFC 9110 §11.1).
pub fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn invalid(detail: &str) -> Problem {
    Problem::token_refused().detail(detail)
}

/// The client's address: each proxy that is trusted has added the one that it saw to the end of `X-Forwarded-For`; what
/// stands before those may be anything.
pub fn client_address(trusted_proxies: usize, peer: Option<Peer>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| address.ip().to_canonical());
    let Some(from_the_end) = trusted_proxies.checked_sub(1) else { return peer };
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let addresses: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let seen = addresses.iter().rev().nth(from_the_end).and_then(|text| text.parse::<IpAddr>().ok());
    seen.map_or(peer, |address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn from(trusted_proxies: usize, forwarded: &[&'static str]) -> String {
        let peer = Peer("[::ffff:10.0.0.1]:5000".parse().unwrap());
        let headers = forwarded.iter().map(|line| ("x-forwarded-for".parse().unwrap(), HeaderValue::from_static(line)));
        client_address(trusted_proxies, Some(peer), &headers.collect()).to_string()
    }

    #[test]
    fn a_bearer_token_follows_its_scheme() {
        for good in ["Bearer x.y", "bearer x.y", "BEARER  x.y "] {
            assert_eq!(bearer(good.as_bytes()), Some("x.y"), "{good}");
        }
        for bad in ["", "Bearer", "Basic x.y", "Bearerx.y"] {
            assert_eq!(bearer(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn nobody_is_trusted_unless_that_was_said() {
        assert_eq!(from(0, &["1.1.1.1"]), "10.0.0.1");
        assert_eq!(from(1, &[]), "10.0.0.1");
    }

    #[test]
    fn what_stands_before_the_entries_of_trusted_proxies_is_not_believed() {
        assert_eq!(from(1, &["6.6.6.6, 1.1.1.1"]), "1.1.1.1");
        assert_eq!(from(2, &["6.6.6.6, 1.1.1.1", "2.2.2.2"]), "1.1.1.1");
        assert_eq!(from(1, &["6.6.6.6, nonsense"]), "10.0.0.1");
        assert_eq!(from(3, &["1.1.1.1"]), "10.0.0.1", "it did not come through all of them");
    }
}
