//! A mail catcher: what the backend sends is looked at in a browser, and reaches nobody.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use super::{Client, Definition, Service, local};
use crate::plan::{Action, Folder, Lane, Probe, Unready};
use crate::product::MAIL_IMAGE;
use crate::runner::Runner;
use crate::settings::Settings;
use crate::stack::host::recipe::{HostLane, PREPARE, Recipe};
use crate::stack::report::Health;
use crate::stack::servers::Found;
use crate::tool::backend::Variable;
use crate::tool::maildev;

/// The mail catcher. Its port is that of its page.
pub struct Mail;

/// The port that takes mail inside of its container.
const SMTP_IN_CONTAINER: u16 = 1025;

/// Where it takes mail, with its page on that port of this machine.
pub fn smtp_url(port: u16) -> String {
    format!("smtp://{}", local(smtp_port(port)))
}

/// Where it takes mail from other containers.
pub fn smtp_url_in_containers() -> String {
    format!("smtp://{}:{SMTP_IN_CONTAINER}", Mail.name())
}

fn smtp_port(port: u16) -> u16 {
    port.saturating_add(1)
}

impl Definition for Mail {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn product(&self) -> &'static str {
        "MailDev"
    }

    fn port_setting(&self) -> &'static str {
        crate::product::setting::PORTS[3]
    }

    fn port_offset(&self) -> u16 {
        3
    }

    fn listens_on(&self, port: u16) -> Vec<u16> {
        vec![port, smtp_port(port)]
    }

    fn container_port(&self) -> u16 {
        1080
    }

    fn image(&self) -> Option<&'static str> {
        Some(MAIL_IMAGE)
    }

    fn address(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    fn page(&self) -> Option<&'static str> {
        Some("the mails that the backend sends")
    }

    fn probe(&self, port: u16, _: &Settings) -> Result<Box<dyn Probe>> {
        Ok(Box::new(Answers { port }))
    }

    fn health(&self, address: SocketAddr, _: Option<&Settings>) -> Result<Health, String> {
        maildev::ping(address).map(|()| Health::default())
    }

    /// Its lines have no time.
    fn log_time(&self, _: &str) -> Option<SystemTime> {
        None
    }

    fn stop_signals(&self, _: Duration) -> Vec<(&'static str, Duration)> {
        vec![("TERM", Duration::from_secs(5)), ("KILL", Duration::from_secs(5))]
    }

    fn client_variables(&self, _: u16, _: &Settings) -> Result<Vec<Variable>> {
        Ok(Vec::new())
    }

    fn client(&self) -> Option<Client> {
        None
    }

    fn host_lane(&self, recipe: &Recipe<'_>) -> Result<HostLane> {
        lane(recipe, recipe.search.mail()?)
    }
}

/// Started, with no mail from before: in a container there is none either.
fn lane(recipe: &Recipe<'_>, found: Found) -> Result<HostLane> {
    let Found { server, fetch } = found;
    let (port, home) = (recipe.ports.of(Service::Mail), recipe.folder.of_service(Service::Mail));
    let mut actions = vec![Action::After(PREPARE.to_owned())];
    actions.extend(fetch);
    actions.push(Action::Remove(home.clone()));
    actions.push(Action::Folder(Folder { path: home.clone(), mode: 0o700, owner: None }));
    actions.extend(recipe.start(Service::Mail, maildev::serve(&server.path, &home, port, smtp_port(port))));
    actions.push(recipe.wait(Service::Mail)?);
    let result = format!("{} {} on {}", server.product, server.version, Mail.address(port));
    Ok(HostLane { lane: Lane { name: Mail.name().to_owned(), actions, result }, server: Some(server) })
}

/// It shows its page. Where it is a process of this machine it takes mail since then as well.
struct Answers {
    port: u16,
}

impl Probe for Answers {
    fn look(&self, _: &dyn Runner) -> Result<(), Unready> {
        Ok(maildev::ping(local(self.port))?)
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the mail catcher answers on {}", Mail.address(self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::host::recipe::tests::{lines, server, with_recipe};

    #[test]
    fn it_shows_its_page_on_its_port_and_takes_mail_on_the_next_from_this_machine_alone() {
        let found = || server("MailDev", "2.2.1", "/m/bin/maildev");
        let lines = with_recipe(|recipe| lines(&lane(recipe, found()).unwrap()));
        let start = lines.iter().find(|line| line.contains("maildev")).unwrap();
        let flags = "--web 8025 --web-ip 127.0.0.1 --smtp 8026 --ip 127.0.0.1 --mail-directory /p/.stack/mail/mails";
        assert!(start.contains(flags), "{start}");
        assert_eq!((smtp_url(8025).as_str(), Mail.listens_on(8025)), ("smtp://127.0.0.1:8026", vec![8025, 8026]));
        assert_eq!(smtp_url_in_containers(), "smtp://mail:1025");
    }
}
