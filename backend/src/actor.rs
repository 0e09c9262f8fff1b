//! Who makes a request: in which role, and from which address.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::config::Config;
use crate::policy::{self, Action};

/// The other end of a request's connection, as the server notes it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// In which role somebody acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nobody in particular.
    Anonymous,
    /// Whoever operates the service.
    Operator,
}

/// Who makes a request.
#[derive(Debug, Clone, Copy)]
pub struct Actor {
    /// In which role.
    pub role: Role,
    /// From which address.
    pub address: IpAddr,
}

impl Actor {
    /// Whether the actor may do that.
    pub fn may(&self, action: Action) -> bool {
        policy::permits(self.role, action)
    }
}

impl FromRequestParts<App> for Actor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let role = if is_operator(&app.config, &parts.headers) { Role::Operator } else { Role::Anonymous };
        let peer = parts.extensions.get::<Peer>().copied();
        Ok(Self { role, address: client_address(app.config.listen.trusted_proxies, peer, &parts.headers) })
    }
}

/// Whoever shows the token; everybody, where none is set, as while developing.
fn is_operator(config: &Config, headers: &HeaderMap) -> bool {
    let Some(token) = &config.operator.health_token else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    // In a time that tells nothing about the token.
    given.is_some_and(|given| given.ct_eq(token.reveal().as_bytes()).into())
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
