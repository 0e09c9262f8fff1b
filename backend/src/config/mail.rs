//! The mail server, and the sender's address.

use std::fmt;
use std::net::IpAddr;

use lettre::message::Mailbox;
use percent_encoding::percent_decode_str;
use url::Url;

use super::setting::{Secret, parsed, settings};

settings! {
    /// How mail is sent.
    pub struct MailSettings {
        /// The server that takes mail, as smtps://user:password@host or smtp://user:password@host?tls=required; without one, mail is written to the log; production requires it.
        pub server: Option<SmtpServer> = production("SMTP_URL", smtp_url);
        /// Whom mail is from, such as no-reply@example.com or Thunder <no-reply@example.com>.
        pub from: Mailbox = plain("MAIL_FROM", "no-reply@localhost", parsed("must be an address such as Thunder <no-reply@example.com>"));
    }
}

/// A server that takes mail.
#[derive(Clone)]
pub struct SmtpServer {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// The user and the password.
    pub credentials: Option<(String, Secret)>,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not at all.
    None,
    /// After STARTTLS (RFC 3207), or there is no connection.
    Required,
    /// From the first byte on (RFC 8314).
    Implicit,
}

impl SmtpTls {
    /// The port that is usual for it.
    fn port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::Required => 587,
            Self::Implicit => 465,
        }
    }
}

impl SmtpServer {
    /// Whether what is sent to it leaves this machine unencrypted.
    pub fn is_overheard(&self) -> bool {
        let is_here = self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.tls == SmtpTls::None && !is_here
    }
}

impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpServer").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// No part of the value is repeated: any of them may be the password.
fn smtp_url(value: &str) -> Result<SmtpServer, String> {
    let problem = || {
        "must be a URL such as smtps://user:password@host, smtp://user:password@host?tls=required or smtp://host"
            .to_owned()
    };
    let url = Url::parse(value).map_err(|_| problem())?;
    let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let tls = match (url.scheme(), parameters.as_slice()) {
        ("smtps", []) => SmtpTls::Implicit,
        ("smtp", [("tls", "required")]) => SmtpTls::Required,
        ("smtp", []) => SmtpTls::None,
        _ => return Err(problem()),
    };
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(problem());
    }
    let host = url.host_str().map(|host| host.trim_matches(['[', ']'])).filter(|host| !host.is_empty());
    let host = host.ok_or_else(problem)?.to_owned();
    let credentials = credentials(&url).ok_or_else(problem)?;
    let server = SmtpServer { host, port: url.port().unwrap_or(tls.port()), tls, credentials };
    if server.credentials.is_some() && server.is_overheard() {
        return Err(
            "has a password, which must not leave this machine unencrypted: use smtps:// or ?tls=required".into()
        );
    }
    Ok(server)
}

/// `Some(None)` without a user; None with half of what is needed.
#[expect(clippy::option_option, reason = "the outer one is whether it is right, the inner one whether it is there")]
fn credentials(url: &Url) -> Option<Option<(String, Secret)>> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(String::from);
    match (url.username(), url.password()) {
        ("", None) => Some(None),
        ("", Some(_)) | (_, None) => None,
        (user, Some(password)) => Some(Some((decoded(user)?, Secret::from(decoded(password)?.as_str())))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_mail_goes_and_how() {
        for (url, host, port, tls) in [
            ("smtps://u:p@mail.example", "mail.example", 465, SmtpTls::Implicit),
            ("smtps://mail.example:1465/", "mail.example", 1465, SmtpTls::Implicit),
            ("smtp://u:p@mail.example?tls=required", "mail.example", 587, SmtpTls::Required),
            ("smtp://mail.railway.internal:1025", "mail.railway.internal", 1025, SmtpTls::None),
            ("smtp://[::1]", "::1", 25, SmtpTls::None),
        ] {
            let server = smtp_url(url).unwrap();
            assert_eq!((server.host.as_str(), server.port, server.tls), (host, port, tls), "{url}");
        }
        let server = smtp_url("smtps://a%40b.example:p%2Fq%3A@mail.example").unwrap();
        let (user, password) = server.credentials.unwrap();
        assert_eq!((user.as_str(), password.reveal()), ("a@b.example", "p/q:"));
    }

    #[test]
    fn a_url_that_could_be_meant_otherwise_is_refused() {
        for wrong in [
            "mail.example",
            "http://mail.example",
            "smtp://",
            "smtp://mail.example?tls=opportunistic",
            "smtp://mail.example?tls=required&tls=none",
            "smtps://mail.example?tls=none",
            "smtp://mail.example/path",
            "smtps://user@mail.example",
            "smtps://:hunter2@mail.example",
            "smtps://u:%ff@mail.example",
        ] {
            let problem = smtp_url(wrong).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn a_password_leaves_the_machine_encrypted_only() {
        assert!(smtp_url("smtp://u:hunter2@mail.example").unwrap_err().contains("unencrypted"));
        for fine in ["smtp://u:p@localhost:1025", "smtp://u:p@127.0.0.1", "smtp://u:p@[::1]"] {
            assert!(smtp_url(fine).is_ok(), "{fine}");
        }
    }
}
