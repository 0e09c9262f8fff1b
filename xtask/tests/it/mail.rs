//! The mail catcher on the host engine: `MailDev`, as npm gives it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::support::{Checkout, copy_migrations, of, until};

fn checkout() -> Checkout {
    let checkout = Checkout::new();
    copy_migrations(&checkout);
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for file in ["infra/servers/mail/package.json", "infra/servers/mail/package-lock.json"] {
        checkout.write(file, &fs::read_to_string(format!("{root}/{file}")).unwrap());
    }
    checkout
}

/// What the backend's process was told of mail.
fn told(checkout: &Checkout) -> Option<String> {
    let environment = fs::read(format!("/proc/{}/environ", checkout.pid("backend"))).unwrap();
    let variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    variables.into_iter().find_map(|variable| variable.strip_prefix("SMTP_URL=").map(str::to_owned))
}

/// Sends a mail by hand.
fn send(server: &str) {
    let mut stream = TcpStream::connect(server).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut say = |words: &str, expected: &str| {
        stream.write_all(words.as_bytes()).unwrap();
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        assert!(line.starts_with(expected), "{words:?} is answered with {line:?}");
    };
    say("", "220");
    say("HELO here\r\n", "250");
    say("MAIL FROM:<a@example.com>\r\n", "250");
    say("RCPT TO:<b@example.com>\r\n", "250");
    say("DATA\r\n", "354");
    say("Subject: a mail of this test\r\n\r\nhello\r\n.\r\n", "250");
}

#[test]
fn mail_of_the_backend_goes_to_the_catcher_for_as_long_as_it_is_part_of_the_stack() {
    let checkout = checkout();
    checkout.xtask(&["up", "--no-watch"]).expect(0);
    assert_eq!(told(&checkout), None);
    let services = checkout.status()["services"].as_array().unwrap().len();
    assert_eq!(services, 3, "what is off is not shown");
    let ran = checkout.xtask(&["up", "--with", "mail"]).expect(0);
    let status = checkout.status();
    let (mail, page) = (of(&status, "mail"), of(&status, "mail")["address"].as_str().unwrap().to_owned());
    assert!(ran.stdout.contains(&page) && ran.stdout.contains("the mails that the backend sends"), "{}", ran.stdout);
    let smtp = format!("127.0.0.1:{}", mail["port"].as_u64().unwrap() + 1);
    assert_eq!(told(&checkout), Some(format!("smtp://{smtp}")), "a backend that ran is told as well");
    let ran = checkout.xtask(&["exec", "backend", "--", "sh", "-c", "echo $SMTP_URL"]).expect(0);
    assert_eq!(ran.stdout, format!("smtp://{smtp}\n"));

    send(&smtp);
    let listed = || minreq::get(format!("{page}/email")).send().unwrap().as_str().unwrap().to_owned();
    until("the mail is shown", || listed().contains("a mail of this test"));

    crate::support::signal(checkout.pid("mail"), "KILL");
    until("it is gone", || checkout.xtask(&["status"]).code == 4);
    checkout.xtask(&["up"]).expect(0).says(&["start MailDev"]);
    checkout.xtask(&["down", "mail"]).expect(0);
    checkout.xtask(&["up"]).expect(0);
    assert_eq!(told(&checkout), None, "nobody takes mail there any more");
    checkout.xtask(&["down"]).expect(0);
    checkout.xtask(&["clean", "--yes"]).expect(0);
    checkout.expect_nothing_left();
}

#[test]
fn a_server_for_mail_that_the_settings_name_counts() {
    let checkout = checkout();
    checkout.xtask(&["env", "init"]).expect(0);
    let settings = checkout.read(".env.docker").replace("SMTP_URL=", "SMTP_URL=smtp://127.0.0.1:1");
    checkout.write(".env.docker", &settings);
    checkout.xtask(&["up", "--no-watch", "--with", "mail"]).expect(0);
    assert_eq!(told(&checkout), Some("smtp://127.0.0.1:1".to_owned()));
}

#[test]
fn where_it_cannot_be_had_the_way_out_is_told_and_nothing_stays() {
    let checkout = checkout();
    checkout.fake("npm", "exit 127\n");
    checkout.fake("maildev", "exit 1\n");
    let mut command = checkout.command(&["up", "--with", "mail"]);
    let ran: crate::support::Ran = command.env("XDG_CACHE_HOME", checkout.path("cache")).output().unwrap().into();
    ran.expect(3).says(&["no MailDev can be had here", "looked at portable: npm does not work", "next:"]);
    assert!(checkout.inhabitants().is_empty());
}
