//! Mail: put into a queue by whoever has something to say, and delivered in the background.
//!
//! [`Mailer::send`] never waits. A client cannot tell by the time of an answer whether a mail was sent, and a mail server
//! that is away delays nobody. The queue is in memory: mail that could not be delivered before the process ends is lost,
//! which is logged. Whoever waits for it asks again.

mod courier;
mod log;
mod smtp;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::{Span, debug, error, warn};
use uuid::Uuid;

use self::courier::{Courier, Schedule};
use self::log::Log;
use self::smtp::Smtp;
use crate::background::Background;
use crate::config::Config;

/// How many mails may wait to be delivered.
const QUEUE: usize = 1000;

/// When delivery is tried: six times within a quarter of an hour, because a server that does not know a sender may refuse
/// it for some minutes at first.
const SCHEDULE: Schedule = Schedule {
    attempts: 6,
    first_pause: Duration::from_secs(2),
    factor: 4,
    timeout: Duration::from_mins(1),
    at_once: 4,
};

/// Something to tell somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address, without a name.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// What is in it is between the sender and the recipient.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mail(***)")
    }
}

/// A mail on its way.
struct Letter {
    /// Under which it stands in the logs and in its `Message-ID`.
    id: Uuid,
    at: SystemTime,
    mail: Mail,
    /// Of the request that it comes from.
    span: Span,
    /// In the queue.
    _place: OwnedSemaphorePermit,
}

/// Why a mail was not delivered, in words that may be logged.
#[derive(Debug)]
struct Undelivered {
    why: String,
    /// Whether it may be delivered when that is tried again.
    may_pass: bool,
}

/// A way to deliver mail.
trait Transport: Send + Sync + 'static {
    fn deliver(&self, letter: &Letter) -> impl Future<Output = Result<(), Undelivered>> + Send;
}

/// The way into the queue; clones share it.
#[derive(Debug, Clone)]
pub struct Mailer {
    queue: mpsc::UnboundedSender<Letter>,
    room: Arc<Semaphore>,
    most: usize,
}

impl Mailer {
    /// Starts the delivery that the settings ask for.
    pub fn start(config: &Config, background: &Background) -> Self {
        let Some(server) = &config.mail.server else {
            return Self::deliver_by(Log, QUEUE, SCHEDULE, background);
        };
        if server.is_overheard() {
            warn!("mail leaves this machine unencrypted: SMTP_URL asks for no TLS");
        }
        if config.is_production() && config.mail.from.email.domain() == "localhost" {
            warn!("MAIL_FROM is not set: many servers refuse mail from {}", config.mail.from);
        }
        Self::deliver_by(Smtp::new(server.clone(), config.mail.from.clone()), QUEUE, SCHEDULE, background)
    }

    fn deliver_by(transport: impl Transport, most: usize, schedule: Schedule, background: &Background) -> Self {
        // Bounded by the places, which a mail keeps until it is delivered.
        let (queue, letters) = mpsc::unbounded_channel();
        let courier = Arc::new(Courier::new(transport, schedule));
        let letters = Arc::new(Mutex::new(letters));
        background.supervise("mail", move |stop| Arc::clone(&courier).run(Arc::clone(&letters), stop));
        Self { queue, room: Arc::new(Semaphore::new(most)), most }
    }

    /// Puts a mail into the queue. Where that is full, the mail is dropped, which is logged.
    pub fn send(&self, mail: Mail) {
        let id = Uuid::now_v7();
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            error!(mail = %id, "a mail was dropped, because {} are waiting to be delivered", self.most);
            return;
        };
        let letter = Letter { id, at: SystemTime::now(), mail, span: Span::current(), _place: place };
        if self.queue.send(letter).is_ok() {
            debug!(mail = %id, "a mail is in the queue");
        } else {
            error!(mail = %id, "a mail was dropped, because the process ends");
        }
    }

    /// How many mails are not delivered yet.
    pub fn undelivered(&self) -> usize {
        self.most - self.room.available_permits()
    }
}

#[cfg(test)]
mod tests;
