//! What compose is told: which backend it runs, where the stack listens, and passwords as URLs can hold them.

use anyhow::Result;

use super::{COMMITTED_MIGRATIONS, DEVELOPMENT, Docker, PRODUCTION};
use crate::checkout;
use crate::product;
use crate::product::setting::{PASSWORDS_IN_URLS, SMTP_URL, WATCH_POLL};
use crate::settings::Settings;
use crate::stack::environment;
use crate::stack::ports::Ports;
use crate::stack::service::{Service, mail};
use crate::stack::state::State;
use crate::tool::compose::Compose;

/// What compose is told of the backend.
#[derive(Debug, Clone, Copy)]
pub struct Form<'s> {
    /// The image that ships; none where it runs from source.
    pub production: Option<&'s str>,
    /// How many containers.
    pub replicas: u16,
    /// Whether a watcher runs it.
    pub watch: bool,
    /// Whether that scans at intervals.
    pub polls: bool,
    /// The user that it runs as; none for the image that ships.
    pub user: Option<&'s str>,
}

impl<'s> Form<'s> {
    /// As it is now.
    pub fn of(state: &'s State) -> Self {
        Self {
            production: state.containers.production.as_deref(),
            replicas: state.containers.replicas,
            watch: state.watch,
            polls: state.polls,
            user: state.containers.user.as_deref(),
        }
    }
}

impl Docker<'_> {
    /// Compose, told where the stack listens and which image is the backend's.
    pub fn compose(&self, ports: &Ports, form: Form<'_>) -> Compose {
        let mut variables: Vec<(&'static str, String)> = Vec::new();
        for service in Service::ALL {
            let setting = service.definition().port_setting();
            variables.extend(ports.get(service).map(|port| (setting, port.to_string())));
        }
        let optional = Service::optional().filter(|service| ports.get(*service).is_some());
        if ports.get(Service::Mail).is_some() {
            let settings = Settings::load(&self.context.project).ok();
            if settings.is_none_or(|settings| settings.get(SMTP_URL).is_none()) {
                variables.push((SMTP_URL, mail::smtp_url_in_containers()));
            }
        }
        if form.polls {
            variables.push((WATCH_POLL, "true".to_owned()));
        }
        if let Some(user) = form.user.filter(|_| form.production.is_none()) {
            variables.push(("BACKEND_USER", user.to_owned()));
        }
        if let Some(image) = form.production {
            let port = ports.of(Service::Backend);
            let last = port.saturating_add(form.replicas.saturating_sub(1));
            let range = if form.replicas > 1 { format!("{port}-{last}") } else { port.to_string() };
            variables.push((product::IMAGE_VARIABLE, image.to_owned()));
            variables.push(("BACKEND_PORTS", range));
        } else if form.watch {
            let committed = checkout::committed_migrations(self.context).unwrap_or_default();
            variables.push((COMMITTED_MIGRATIONS, committed.join(",")));
        } else {
            variables.push(("BACKEND_COMMAND", product::UNWATCHED.to_owned()));
        }
        Compose {
            project: self.context.project.name(),
            root: self.context.project.root().to_owned(),
            file: if form.production.is_some() { PRODUCTION } else { DEVELOPMENT },
            env_file: self.context.project.settings(),
            profiles: optional.map(Service::name).collect(),
            variables,
            secrets: self.passwords_in_urls(),
        }
    }

    /// Passwords that a URL cannot hold as they are.
    fn passwords_in_urls(&self) -> Vec<(&'static str, String)> {
        // What cannot be read is told by whoever needs more of it.
        let Ok(settings) = Settings::load(&self.context.project) else { return Vec::new() };
        let in_url = |(name, in_url)| {
            let password = settings.get(name)?;
            let encoded = environment::percent_encoded(password);
            (encoded != password).then_some((in_url, encoded))
        };
        PASSWORDS_IN_URLS.into_iter().filter_map(in_url).collect()
    }

    /// Compose, told what the stack is now.
    pub fn current(&self, state: &State) -> Result<Compose> {
        // Compose fills them in whatever it is asked, and would tell of the first wrong one only.
        Settings::load(&self.context.project)?;
        Ok(self.compose(&state.ports, Form::of(state)))
    }
}

#[cfg(test)]
mod tests;
