//! Where a watcher's servers run, and what differs between this machine and a container.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::context::Context;
use crate::settings::Settings;
use crate::stack::ground;
use crate::stack::thunder::{self, PACKAGE, Ports};
use crate::step::Step;
use crate::tool::backend::Variable;
use crate::tool::cargo;

/// Where a watcher's servers run.
pub struct Place {
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

impl Place {
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

    /// What builds the binary.
    pub fn build(&self) -> Step {
        // A container cannot write into the checkout, so that its lock file has to be right already.
        cargo::build_diagnosed(&self.root, PACKAGE, matches!(self.kind, Kind::Container))
    }

    /// Where the servers listen.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(match self.kind {
            Kind::Host(ports) => SocketAddr::from((Ipv4Addr::LOCALHOST, ports.backend)),
            Kind::Container => {
                let port = std::env::var("PORT").ok().map_or(Ok(3000), |port| port.parse())?;
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
            }
        })
    }

    /// The variables of a server that is started now.
    pub fn environment(&self, context: &Context) -> Result<Vec<Variable>> {
        let settings = Settings::load(&context.project)?;
        ground::hide(context, &settings);
        match self.kind {
            Kind::Host(ports) => thunder::backend_environment(&settings, ports, &ground::commit(context)),
            Kind::Container => thunder::contained_environment(&settings, |name| std::env::var(name).ok()),
        }
    }
}
