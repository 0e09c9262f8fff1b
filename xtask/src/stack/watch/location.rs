//! Where a watcher's servers run, and what differs between this machine and a container.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::checkout;
use crate::context::Context;
use crate::product::setting::PORT;
use crate::product::{CONTAINER_PORT, DATABASE, PACKAGE};
use crate::settings::Settings;
use crate::stack::docker::COMMITTED_MIGRATIONS;
use crate::stack::ports::Ports;
use crate::stack::service::{Service, local};
use crate::stack::{environment, foundation};
use crate::step::Step;
use crate::tool::backend::Variable;
use crate::tool::cargo;

/// Where a watcher's servers run.
pub struct Location {
    kind: Kind,
    root: PathBuf,
    binary: PathBuf,
}

enum Kind {
    /// On this machine, among the servers that listen on these ports.
    Host(Ports),
    /// In a container, which was given the servers' addresses.
    Container,
}

impl Location {
    /// On this machine.
    pub fn host(root: &Path, ports: Ports, binary: PathBuf) -> Self {
        Self { kind: Kind::Host(ports), root: root.to_owned(), binary }
    }

    /// In a container.
    pub fn container(root: &Path, binary: PathBuf) -> Self {
        Self { kind: Kind::Container, root: root.to_owned(), binary }
    }

    /// Where builds put the binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the checkout can be written to.
    pub fn may_write(&self) -> bool {
        matches!(self.kind, Kind::Host(_))
    }

    /// What builds the binary.
    pub fn build(&self) -> Step {
        // A container cannot write into the checkout, so that its lock file has to be right already.
        cargo::build_diagnosed(&self.root, PACKAGE, !self.may_write())
    }

    /// Where the servers listen.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(match &self.kind {
            Kind::Host(ports) => local(ports.of(Service::Backend)),
            Kind::Container => {
                let port = std::env::var(PORT).ok().map_or(Ok(CONTAINER_PORT), |port| port.parse())?;
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
            }
        })
    }

    /// The variables of a server that is started now.
    pub fn environment(&self, context: &Context) -> Result<Vec<Variable>> {
        let settings = Settings::load(&context.project)?;
        foundation::hide(context, &settings);
        match &self.kind {
            Kind::Host(ports) => environment::of_backend(&settings, ports, DATABASE),
            Kind::Container => environment::in_container(&settings, |name| std::env::var(name).ok()),
        }
    }

    /// The migrations that are in no commit, and may still change. There is no git in the container, which was told of
    /// those that are in one.
    pub fn drafts(&self, context: &Context) -> Vec<String> {
        match self.kind {
            Kind::Host(_) => checkout::drafts(context),
            Kind::Container => {
                let committed = std::env::var(COMMITTED_MIGRATIONS).unwrap_or_default();
                let committed: Vec<String> = committed.split(',').map(str::to_owned).collect();
                // Without an answer nothing is taken for a draft.
                if committed.iter().all(String::is_empty) {
                    return Vec::new();
                }
                checkout::drafts_beside(&self.root, &committed).unwrap_or_default()
            }
        }
    }
}
