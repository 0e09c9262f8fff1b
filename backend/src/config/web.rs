//! Where the server listens, and which pages may call it.

use std::net::IpAddr;

use axum::http::{HeaderValue, Uri};

use super::setting::{parsed, settings};

settings! {
    /// The address to listen on.
    pub struct ListenSettings {
        /// The address to listen on; :: takes IPv6 and IPv4, and falls back to 0.0.0.0 where there is no IPv6.
        pub host: IpAddr = plain("HOST", "::", parsed("must be an IP address"));
        /// The TCP port to listen on; 0 takes any free one.
        pub port: u16 = plain("PORT", "3000", parsed("must be a whole number from 0 to 65535"));
        /// How many proxies stand in front: the client's address is the one that the outermost of them puts into X-Forwarded-For; 0 trusts nobody.
        pub trusted_proxies: usize = plain("TRUST_PROXY", "0", proxies);
    }
}

settings! {
    /// The pages that may call the API.
    pub struct OriginSettings {
        /// Origins whose pages may call the API, separated by commas, such as https://app.example.com.
        pub listed: Vec<HeaderValue> = plain("ALLOWED_ORIGINS", "", origins);
        /// Where the web application lives; its origin may always call the API.
        pub frontend: Option<HeaderValue> = plain("FRONTEND_URL", "", frontend_origin);
    }
}

impl OriginSettings {
    /// All of them, each once.
    pub fn allowed(&self) -> Vec<HeaderValue> {
        let mut all: Vec<HeaderValue> = self.listed.iter().chain(&self.frontend).cloned().collect();
        all.sort();
        all.dedup();
        all
    }
}

fn proxies(value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(count @ 0..=10) => Ok(count),
        _ => Err("must be a whole number from 0 to 10".to_owned()),
    }
}

fn origins(value: &str) -> Result<Vec<HeaderValue>, String> {
    value.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(origin).collect()
}

/// An origin without a path (RFC 6454 §7).
fn origin(value: &str) -> Result<HeaderValue, String> {
    let problem = || "must be origins such as https://app.example.com, without a path".to_owned();
    let uri: Uri = value.parse().map_err(|_| problem())?;
    if uri.path() != "/" || value.ends_with('/') || uri.query().is_some() {
        return Err(problem());
    }
    as_browsers_send_it(&uri).ok_or_else(problem)
}

fn frontend_origin(value: &str) -> Result<Option<HeaderValue>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let problem = || "must be a URL such as https://app.example.com".to_owned();
    let uri: Uri = value.parse().map_err(|_| problem())?;
    as_browsers_send_it(&uri).map(Some).ok_or_else(problem)
}

/// Lower case, without the port that the scheme has anyway (RFC 6454 §6.2): any other form would never match.
fn as_browsers_send_it(uri: &Uri) -> Option<HeaderValue> {
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    let host = authority.host().to_ascii_lowercase();
    let default = if scheme == "https" { 443 } else { 80 };
    let origin = match authority.port_u16() {
        Some(port) if port != default => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    };
    HeaderValue::from_str(&origin).ok()
}
