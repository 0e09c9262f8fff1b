//! Mail by SMTP (RFC 5321).

use std::error::Error as _;
use std::time::Duration;

use lettre::address::{Address, Envelope};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use super::{Letter, Transport, Undelivered};
use crate::config::{SmtpServer, SmtpTls};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the polite end of a connection may take. The mail is delivered by then.
const QUIT: Duration = Duration::from_secs(2);

/// A server that takes mail.
///
/// The library has a transport of its own. It waits for the end of the connection without a limit, after the server has
/// taken the mail: a server that says nothing more would get the same mail again. It is made of the parts used here.
pub struct Smtp {
    server: SmtpServer,
    from: Mailbox,
}

impl Smtp {
    pub fn new(server: SmtpServer, from: Mailbox) -> Self {
        Self { server, from }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let SmtpServer { host, port, tls, credentials } = &self.server;
        let hello = ClientId::Domain(self.from.email.domain().to_owned());
        let parameters = || TlsParameters::new_rustls(host.clone());
        let implicit = if *tls == SmtpTls::Implicit { Some(parameters()?) } else { None };
        let address = (host.as_str(), *port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT), &hello, implicit, None).await?;
        if *tls == SmtpTls::Required {
            connection.starttls(parameters()?, &hello).await?;
        }
        if let Some((user, password)) = credentials {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }

    /// The message with its envelope, or what is wrong with it.
    fn message(&self, letter: &Letter) -> Result<(Envelope, Vec<u8>), &'static str> {
        // An address alone: as a mailbox it could bring a name, or be a list.
        let to: Address = letter.mail.to.parse().map_err(|_| "the recipient's address is not one")?;
        let subject: String = letter.mail.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .date(letter.at)
            .message_id(Some(format!("<{}@{}>", letter.id, self.from.email.domain())))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.mail.text.clone())
            .map_err(|_| "no message can be made of it")?;
        Ok((message.envelope().clone(), message.formatted()))
    }
}

impl Transport for Smtp {
    async fn deliver(&self, letter: &Letter) -> Result<(), Undelivered> {
        let (envelope, message) =
            self.message(letter).map_err(|why| Undelivered { why: why.to_owned(), may_pass: false })?;
        let delivery = async {
            let mut connection = self.connect().await?;
            connection.send(&envelope, &message).await?;
            Ok(connection)
        };
        let mut connection = delivery.await.map_err(|error| undelivered(&error))?;
        tokio::time::timeout(QUIT, connection.abort()).await.ok();
        Ok(())
    }
}

/// Only codes of what the server has said: filters quote the links of a mail in their answers.
fn undelivered(error: &Error) -> Undelivered {
    let why = if let Some(code) = error.status() {
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        format!("the server answered {code} {}", enhanced_code(&said)).trim_end().to_owned()
    } else if error.is_response() {
        "the server's answer is not SMTP".to_owned()
    } else {
        // What the operating system or the TLS library says.
        format!("{error}")
    };
    Undelivered { why, may_pass: !error.is_permanent() }
}

/// The code of RFC 3463 that an answer begins with, such as 5.1.1.
fn enhanced_code(said: &str) -> &str {
    let word = said.split_whitespace().next().unwrap_or_default();
    let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if word.split('.').count() == 3 && word.split('.').all(is_number) { word } else { "" }
}
