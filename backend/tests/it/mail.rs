//! Mail of a whole service, as its settings say.

use backend::mail::Mail;

use crate::support::{Mailbox, Server, run};

#[test]
fn mail_goes_to_the_server_of_the_settings_and_is_from_whom_they_say() {
    let mailbox = Mailbox::start();
    let url = mailbox.url();
    let server = Server::start_with(&[("SMTP_URL", &url), ("MAIL_FROM", "Thunder <hello@thunder.example>")]);
    let mail = |to: &str| Mail { to: to.to_owned(), subject: "Hello".to_owned(), text: "An odd = line.".to_owned() };
    server.app.mailer.send(mail("ada@lovelace.example"));
    let received = &mailbox.mails(1)[0];
    assert_eq!(received.to, "ada@lovelace.example");
    assert_eq!(received.header("From"), "Thunder <hello@thunder.example>");
    assert_eq!(received.text().trim_end(), "An odd = line.");
    // What is in the queue when the process is told to stop is delivered first.
    server.app.mailer.send(mail("grace@hopper.example"));
    drop(server);
    assert_eq!(mailbox.mails(2)[1].to, "grace@hopper.example");
}

#[test]
fn settings_that_mail_cannot_be_sent_by_are_named_without_their_values() {
    let wrong = [("SMTP_URL", "smtp://u:hunter2@mail.example"), ("MAIL_FROM", "nobody")];
    let wrong = wrong.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let output = run(&["config", "--check"], &wrong);
    assert_eq!(output.status.code(), Some(3));
    let said = crate::support::text(&output.stderr);
    assert!(said.contains("SMTP_URL has a password, which must not leave this machine unencrypted"), "{said}");
    assert!(said.contains("MAIL_FROM must be an address"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
