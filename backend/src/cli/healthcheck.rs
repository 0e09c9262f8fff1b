//! `thunder healthcheck`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::{Stopped, output};

#[derive(Args)]
pub struct Arguments {
    /// Where to ask; this machine and PORT, if left away
    #[arg(long)]
    url: Option<String>,
    /// Ask whether requests can be answered, and not only whether the process lives
    #[arg(long, conflicts_with = "url")]
    ready: bool,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let path = if arguments.ready { "/health" } else { "/health/live" };
    let url = arguments.url.unwrap_or_else(|| own_url(path));
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(4)))
        .proxy(proxy(&url))
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut answer = agent.get(&url).call().with_context(|| format!("no answer from {url}"))?;
    let body = answer.body_mut().read_to_string().unwrap_or_default();
    output::text(&format!("{}\n", body.trim()))?;
    if answer.status() == 200 { Ok(()) } else { Err(Stopped(1).into()) }
}

/// How another machine is reached, as the environment says. This one is never reached through a proxy.
fn proxy(url: &str) -> Option<ureq::Proxy> {
    let host = url.split("://").nth(1)?.split(['/', '?']).next()?;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let is_local = ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local));
    if is_local { None } else { ureq::Proxy::try_from_env() }
}

/// Where the server of this environment answers: `PORT`, on `HOST` or, where that stands for all, on this machine.
fn own_url(path: &str) -> String {
    let setting = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let port = setting("PORT").unwrap_or_else(|| "3000".to_owned());
    match setting("HOST").and_then(|host| host.parse().ok()) {
        Some(IpAddr::V4(host)) if host != Ipv4Addr::UNSPECIFIED => format!("http://{host}:{port}{path}"),
        Some(IpAddr::V6(host)) if host != Ipv6Addr::UNSPECIFIED => format!("http://[{host}]:{port}{path}"),
        _ => format!("http://127.0.0.1:{port}{path}"),
    }
}
