//! `maildev`, which takes mail by SMTP and shows it in a browser.

use std::net::SocketAddr;
use std::path::Path;

use crate::step::Step;

/// How long it is given to answer one question, in seconds.
const QUESTION_TIMEOUT: u64 = 2;

/// Asks for its version. It is a script: Node.js runs it, wherever that is.
pub fn version(program: &Path) -> Step {
    node("ask MailDev for its version", program).arg("--version").only_reads()
}

/// The version in what `--version` says.
pub fn parse_version(said: &str) -> Option<String> {
    let version = said.trim();
    super::version::major(version)?;
    Some(version.to_owned())
}

/// Serves its page and takes mail on these ports of this machine, and keeps the mails below that folder.
pub fn serve(program: &Path, folder: &Path, web: u16, smtp: u16) -> Step {
    node("start MailDev", program)
        .args(["--web", &web.to_string(), "--web-ip", "127.0.0.1"])
        .args(["--smtp", &smtp.to_string(), "--ip", "127.0.0.1", "--mail-directory"])
        .arg(folder.join("mails"))
        .folder(folder)
}

fn node(purpose: &str, program: &Path) -> Step {
    Step::new(purpose, "node").arg(program).isolated()
}

/// Whether it shows its page, which it says once it also takes mail.
pub fn ping(address: SocketAddr) -> Result<(), String> {
    let answer = minreq::get(format!("http://{address}/healthz")).with_timeout(QUESTION_TIMEOUT).send();
    match answer {
        Ok(answer) if answer.status_code == 200 => Ok(()),
        Ok(answer) => Err(format!("/healthz is {}", answer.status_code)),
        Err(minreq::Error::IoError(error)) => Err(crate::wait::describe_io(&error)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_version_is_read_or_there_is_none() {
        assert_eq!(parse_version("2.2.1\n").as_deref(), Some("2.2.1"));
        for said in ["", "maildev", "Error: Cannot find module"] {
            assert_eq!(parse_version(said), None, "{said}");
        }
    }
}
