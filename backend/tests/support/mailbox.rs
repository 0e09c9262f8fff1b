//! A mail server that keeps what it gets, and behaves as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What the server does with a connection.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// Answers this line to this command, and takes the mail otherwise. `GREETING` and `TEXT` are commands too.
    Say(&'static str, &'static str),
    /// Never answers this command.
    Hang(&'static str),
}

/// A mail that came in.
#[derive(Debug, Clone)]
pub struct Received {
    pub to: String,
    /// What the client said to sign in.
    pub authentication: Option<String>,
    /// Headers and text as they came.
    pub data: String,
}

#[derive(Debug, Default)]
struct State {
    /// One for each of the next connections; later ones take mail.
    manners: VecDeque<Manner>,
    connections: usize,
    mails: Vec<Received>,
    said: String,
}

/// The server. It ends with the process.
#[derive(Debug, Clone)]
pub struct Mailbox {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Mailbox {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// The same for whom the first connections go as given.
    pub fn with(manners: &[Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let state = State { manners: manners.iter().copied().collect(), ..State::default() };
        let mailbox = Self {
            address: listener.local_addr().expect("an address"),
            state: Arc::new((Mutex::new(state), Condvar::new())),
        };
        let serving = mailbox.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mailbox = serving.clone();
                let manner = mailbox.change(|state| {
                    state.connections += 1;
                    state.manners.pop_front()
                });
                // A client that goes away ends the conversation.
                std::thread::spawn(move || mailbox.talk(&stream, manner).ok());
            }
        });
        mailbox
    }

    /// What `SMTP_URL` has to be.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Waits for so many mails, and shows all that came.
    pub fn mails(&self, count: usize) -> Vec<Received> {
        self.wait(|state| state.mails.len() >= count, |state| state.mails.clone())
    }

    /// Waits for so many connections.
    pub fn connections(&self, count: usize) -> usize {
        self.wait(|state| state.connections >= count, |state| state.connections)
    }

    /// All that clients have said.
    pub fn said(&self) -> String {
        self.change(|state| state.said.clone())
    }

    fn wait<T>(&self, is_there: impl Fn(&State) -> bool, read: impl FnOnce(&State) -> T) -> T {
        let (state, changed) = &*self.state;
        let state = state.lock().expect("nobody panics with it");
        let limit = Duration::from_secs(20);
        let (state, outcome) = changed.wait_timeout_while(state, limit, |state| !is_there(state)).expect("the same");
        assert!(!outcome.timed_out(), "not within 20 s: {state:?}");
        read(&state)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.state.0.lock().expect("nobody panics with it"));
        self.state.1.notify_all();
        outcome
    }

    fn talk(&self, stream: &TcpStream, manner: Option<Manner>) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream);
        let mut out = stream;
        let mut answer = |command: &str, usual: &str| -> std::io::Result<bool> {
            match manner {
                Some(Manner::Hang(at)) if at == command => loop {
                    std::thread::park();
                },
                Some(Manner::Say(at, line)) if at == command => {
                    write!(out, "{line}\r\n")?;
                    Ok(line.starts_with(['2', '3']))
                }
                _ => write!(out, "{usual}\r\n").map(|()| true),
            }
        };
        answer("GREETING", "220 mailbox")?;
        let (mut to, mut authentication) = (String::new(), None);
        loop {
            let line = self.line(&mut lines)?;
            let (command, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            match command {
                "EHLO" => answer(command, "250-mailbox\r\n250-AUTH PLAIN\r\n250 8BITMIME")?,
                "AUTH" => {
                    authentication = Some(rest.to_owned());
                    answer(command, "235 2.7.0 welcome")?
                }
                "RCPT" => {
                    rest.trim_start_matches("TO:<").trim_end_matches('>').clone_into(&mut to);
                    answer(command, "250 2.1.5 fine")?
                }
                "DATA" if answer(command, "354 go on")? => {
                    let mut data = String::new();
                    loop {
                        match self.line(&mut lines)?.as_str() {
                            ".\r\n" => break,
                            line => data.push_str(line.strip_prefix('.').unwrap_or(line)),
                        }
                    }
                    let is_taken = answer("TEXT", "250 2.0.0 taken")?;
                    let mail = Received { to: to.clone(), authentication: authentication.clone(), data };
                    self.change(|state| state.mails.extend(is_taken.then_some(mail)));
                    true
                }
                "QUIT" => {
                    answer(command, "221 bye")?;
                    return Ok(());
                }
                _ => answer(command, "250 fine")?,
            };
        }
    }

    fn line(&self, lines: &mut impl BufRead) -> std::io::Result<String> {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.change(|state| state.said.push_str(&line));
        Ok(line)
    }
}

impl Received {
    /// A header's value, its lines put together.
    pub fn header(&self, name: &str) -> String {
        let head = self.data.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_default().to_owned()
    }

    /// The text as the recipient reads it.
    pub fn text(&self) -> String {
        let text = self.data.split_once("\r\n\r\n").map_or("", |(_, text)| text);
        let text = match self.header("Content-Transfer-Encoding").as_str() {
            "quoted-printable" => unquoted(text),
            "base64" => {
                use base64::Engine as _;
                let text: String = text.split_whitespace().collect();
                base64::prelude::BASE64_STANDARD.decode(text).expect("base64")
            }
            _ => text.as_bytes().to_vec(),
        };
        String::from_utf8(text).expect("UTF-8").replace("\r\n", "\n")
    }
}

/// Quoted-printable (RFC 2045 §6.7), decoded.
fn unquoted(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in text.replace("=\r\n", "").split('=').enumerate() {
        let code = if index == 0 { None } else { part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) };
        bytes.extend(code);
        bytes.extend(&part.as_bytes()[if code.is_some() { 2 } else { 0 }..]);
    }
    bytes
}
