use std::io::Write;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::Instant;

use tokio::runtime::Runtime;
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use self::mailbox::{Mailbox, Manner};
use super::*;
use crate::config::{Secret, SmtpServer, SmtpTls};

#[allow(dead_code, reason = "the tests against the whole service use more of it")]
#[path = "../../tests/support/mailbox.rs"]
mod mailbox;

/// As in production, a thousand times as quick.
const QUICK: Schedule = Schedule {
    attempts: 4,
    first_pause: Duration::from_millis(5),
    factor: 2,
    timeout: Duration::from_millis(500),
    at_once: 2,
};

/// A mailer, and what it logs.
struct Sending {
    runtime: Runtime,
    background: Background,
    mailer: Mailer,
    log: Lines,
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn by(transport: impl Transport, schedule: Schedule) -> Sending {
    let log = Lines::default();
    let kept = log.clone();
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || kept.clone());
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(LevelFilter::TRACE).with(lines));
    // Other tests log at the same time, in threads of their own.
    let in_the_worker = subscriber.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(move || std::mem::forget(dispatcher::set_default(&in_the_worker)))
        .build()
        .unwrap();
    let background = Background::default();
    let mailer = dispatcher::with_default(&subscriber, || {
        let _inside = runtime.enter();
        Mailer::deliver_by(transport, 3, schedule, &background)
    });
    Sending { runtime, background, mailer, log }
}

fn to(mailbox: &Mailbox, schedule: Schedule) -> Sending {
    to_address(mailbox.address, schedule)
}

fn to_address(address: SocketAddr, schedule: Schedule) -> Sending {
    let server = SmtpServer {
        host: address.ip().to_string(),
        port: address.port(),
        tls: SmtpTls::None,
        credentials: Some(("thunder".to_owned(), Secret::from("hunter2"))),
    };
    by(Smtp::new(server, "Thunder <no-reply@thunder.example>".parse().unwrap()), schedule)
}

fn mail(to: &str) -> Mail {
    let text = "Grüße!\n.\nOpen https://thunder.example/confirm?token=s3cr3t\n";
    Mail { to: to.to_owned(), subject: "Confirm your address".to_owned(), text: text.to_owned() }
}

impl Sending {
    fn send(&self, mail: Mail) {
        self.mailer.send(mail);
    }

    /// Waits until every mail was delivered or given up.
    fn settle(&self) {
        let begun = Instant::now();
        while self.mailer.undelivered() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", self.log.text());
            std::thread::yield_now();
        }
    }

    /// Ends as the process does, and shows what was logged.
    fn end(self) -> String {
        self.runtime.block_on(self.background.stop());
        let said = self.log.text();
        for secret in ["hunter2", "s3cr3t", "Confirm", "ada@", "Grüße"] {
            assert!(!said.contains(secret), "{secret}: {said}");
        }
        said
    }
}

#[test]
fn a_mail_arrives_as_it_was_sent() {
    let mailbox = Mailbox::start();
    let sending = to(&mailbox, QUICK);
    sending.send(mail("ada@lovelace.example"));
    let received = &mailbox.mails(1)[0];
    assert_eq!(received.to, "ada@lovelace.example");
    assert_eq!(received.header("From"), "Thunder <no-reply@thunder.example>");
    assert_eq!(received.header("To"), "ada@lovelace.example");
    assert_eq!(received.header("Subject"), "Confirm your address");
    assert!(received.header("Message-ID").ends_with("@thunder.example>"), "{}", received.data);
    assert!(!received.header("Date").is_empty());
    assert_eq!(received.text().trim_end(), mail("").text.trim_end());
    assert!(received.authentication.as_ref().is_some_and(|said| said.starts_with("PLAIN ")));
    sending.settle();
    assert!(sending.end().contains("a mail was delivered mail="));
}

#[test]
fn a_server_that_refuses_for_now_or_does_not_answer_is_asked_again_with_the_same_message() {
    let mailbox = Mailbox::with(&[
        Manner::Say("GREETING", "421 4.3.2 come back later"),
        Manner::Say("RCPT", "450 4.2.0 I do not know ada@lovelace.example yet"),
        Manner::Hang("TEXT"),
    ]);
    let sending = to(&mailbox, QUICK);
    sending.send(mail("ada@lovelace.example"));
    assert_eq!(mailbox.mails(1).len(), 1);
    sending.settle();
    let ids: Vec<_> = mailbox.said().lines().filter(|line| line.starts_with("Message-ID")).map(String::from).collect();
    assert_eq!(ids.len(), 2, "one that was not answered, and one that was: {}", mailbox.said());
    assert_eq!(ids[0], ids[1]);
    let said = sending.end();
    for why in ["answered 421 4.3.2", "answered 450 4.2.0", "no answer within 0.5 s", "delivered"] {
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn a_server_that_refuses_for_good_is_not_asked_again() {
    let refusal = "554 5.7.1 https://thunder.example/confirm?token=s3cr3t is spam";
    let mailbox = Mailbox::with(&[Manner::Say("TEXT", refusal)]);
    let sending = to(&mailbox, QUICK);
    sending.send(mail("ada@lovelace.example"));
    sending.settle();
    assert_eq!(mailbox.connections(1), 1);
    let said = sending.end();
    assert!(said.contains("a mail was given up: the server answered 554 5.7.1"), "{said}");
}

#[test]
fn a_wrong_password_is_not_told_to_the_log() {
    let mailbox = Mailbox::with(&[Manner::Say("AUTH", "535 5.7.8 hunter2 is wrong")]);
    let sending = to(&mailbox, QUICK);
    sending.send(mail("ada@lovelace.example"));
    sending.settle();
    assert!(sending.end().contains("535 5.7.8"));
}

#[test]
fn a_server_that_is_away_is_given_up_in_the_end() {
    let sending = to_address("127.0.0.1:1".parse().unwrap(), QUICK);
    sending.send(mail("ada@lovelace.example"));
    sending.settle();
    let said = sending.end();
    assert_eq!(said.matches("a mail is tried again").count(), 3, "{said}");
    assert_eq!(said.matches("a mail was given up").count(), 1, "{said}");
}

/// The server has it: to send it again would be to send it twice.
#[test]
fn a_mail_that_was_taken_is_not_sent_again_when_the_server_then_hangs() {
    let mailbox = Mailbox::with(&[Manner::Hang("QUIT")]);
    // Over before the polite end is.
    let sending = to(&mailbox, Schedule { timeout: QUIT_AND_MORE, ..QUICK });
    sending.send(mail("ada@lovelace.example"));
    sending.settle();
    assert_eq!((mailbox.mails(1).len(), mailbox.connections(1)), (1, 1));
    assert!(sending.end().contains("delivered"));
}

const QUIT_AND_MORE: Duration = Duration::from_secs(5);

#[test]
fn sending_never_waits_and_what_does_not_fit_is_dropped_and_logged() {
    let hangs = [Manner::Hang("GREETING"); 3];
    let mailbox = Mailbox::with(&hangs);
    let sending = to(&mailbox, Schedule { timeout: Duration::from_mins(1), ..QUICK });
    for _ in 0..3 {
        sending.send(mail("ada@lovelace.example"));
    }
    let log = sending.log.clone();
    let dispatch = {
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || log.clone());
        Dispatch::new(tracing_subscriber::registry().with(lines))
    };
    dispatcher::with_default(&dispatch, || sending.send(mail("ada@lovelace.example")));
    assert_eq!(sending.mailer.undelivered(), 3);
    let said = sending.log.text();
    assert!(said.contains("a mail was dropped, because 3 are waiting to be delivered"), "{said}");
    sending.runtime.shutdown_background();
}

#[test]
fn one_that_waits_for_its_next_attempt_holds_up_no_other() {
    let later = [Manner::Say("GREETING", "421 later"); 2];
    let mailbox = Mailbox::with(&later);
    let patient = Schedule { first_pause: Duration::from_mins(1), ..QUICK };
    let sending = to(&mailbox, patient);
    for _ in 0..2 {
        sending.send(mail("ada@lovelace.example"));
    }
    mailbox.connections(2);
    sending.send(mail("grace@hopper.example"));
    assert_eq!(mailbox.mails(1)[0].to, "grace@hopper.example");
    // The end does not wait for a minute: each is tried once more.
    assert_eq!(sending.end().matches("a mail was delivered").count(), 3);
    assert_eq!(mailbox.mails(3).len(), 3);
}

#[test]
fn at_the_end_what_cannot_be_delivered_is_given_up_at_once() {
    let mailbox = Mailbox::with(&[Manner::Say("GREETING", "421 later"); 5]);
    let sending = to(&mailbox, Schedule { first_pause: Duration::from_mins(1), ..QUICK });
    sending.send(mail("ada@lovelace.example"));
    mailbox.connections(1);
    let mailer = sending.mailer.clone();
    assert!(sending.end().contains("a mail was given up"));
    assert_eq!(mailer.undelivered(), 0);
}

#[test]
fn no_address_and_no_subject_adds_a_header_or_a_recipient() {
    let mailbox = Mailbox::start();
    let sending = to(&mailbox, QUICK);
    for address in
        ["ada@lovelace.example\r\nBcc: eve@evil.example", "ada@lovelace.example, eve@evil.example", "", "ada"]
    {
        sending.send(mail(address));
        sending.settle();
    }
    sending.send(Mail { subject: "Hi\r\nBcc: eve@evil.example".to_owned(), ..mail("ada@lovelace.example") });
    let received = &mailbox.mails(1)[0];
    assert_eq!(received.header("Bcc"), "");
    assert_eq!(received.header("Subject"), "Hi  Bcc: eve@evil.example");
    sending.settle();
    assert_eq!(mailbox.connections(1), 1, "nothing was asked for the wrong ones");
    assert_eq!(sending.end().matches("the recipient's address is not one").count(), 4);
}

#[test]
fn without_a_server_the_developer_reads_it_in_the_log() {
    let sending = by(Log, QUICK);
    sending.send(mail("ada@lovelace.example"));
    sending.settle();
    let said = sending.log.text();
    for part in ["INFO", "to=\"ada@lovelace.example\"", "subject=\"Confirm your address\"", "token=s3cr3t"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    sending.runtime.block_on(sending.background.stop());
}
