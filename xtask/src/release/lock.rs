//! The lock of an environment: a shared variable that says who is deploying.
//!
//! Railway has no lock. Whoever writes the variable last has it; so each waits a while after writing, reads it back, and
//! has the lock only if its own word stands there. It is looked at again before each step that changes something, and
//! renewed meanwhile. `docs/deployment.md` says what this proves and what it does not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::platform::{Destination, Platform};
use crate::failure::{Exit, Failure};
use crate::product::DEPLOY_LOCK;
use crate::terminal::Terminal;
use crate::wait::{self, Poll, Waited};

/// For how long a lock is good that nobody renews: longer than an upload.
const GOOD_FOR: Duration = Duration::from_mins(15);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_mins(1);
/// How often somebody else's lock is looked at.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 5_000 });

/// What stands in the variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Who has it.
    pub owner: String,
    /// Where it can be watched, such as a run of CI.
    pub run: Option<String>,
    /// A word that nobody else has.
    pub nonce: String,
    /// The id of the environment: a copy of one has its variables too.
    #[serde(default)]
    pub environment: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// When it was renewed.
    pub heartbeat: u64,
    /// Until when it is good.
    pub expires: u64,
}

/// The lock, as far as we have it.
#[derive(Default)]
pub struct Lock {
    state: Mutex<State>,
}

#[derive(Default, Clone)]
enum State {
    /// Nobody has asked for it yet, or it was given back.
    #[default]
    Without,
    /// It is ours, and was renewed then.
    Ours(Held, Instant),
    /// Somebody has taken it from us: from now on nothing may be changed.
    Lost(String),
}

/// Whoever asks for the lock.
pub struct Owner {
    /// A name.
    pub name: String,
    /// Where it can be watched.
    pub run: Option<String>,
    /// A word that nobody else has.
    pub nonce: String,
    /// The flags that name the environment, for what to type.
    pub flags: String,
}

impl Held {
    /// What the variable says; none where it is free, says what nobody here has written, or is of another environment.
    pub fn parse(value: Option<&str>, to: &Destination) -> Option<Self> {
        let held: Self = serde_json::from_str(value?).ok()?;
        (held.environment.is_empty() || held.environment == to.environment).then_some(held)
    }

    fn is_expired(&self, now: u64) -> bool {
        self.expires <= now
    }

    /// Who has it, where, since when and for how long.
    pub fn describe(&self, now: u64) -> String {
        let ago = |seconds: u64| humantime::format_duration(Duration::from_secs(seconds));
        let run = self.run.as_ref().map_or_else(String::new, |run| format!(" ({run})"));
        let held = ago(now.saturating_sub(self.since));
        format!("{}{run} has had it for {held}; it ends in {}", self.owner, ago(self.expires.saturating_sub(now)))
    }
}

impl Lock {
    /// Takes it, and waits for whoever has it.
    pub fn take(
        &self,
        platform: &dyn Platform,
        to: &Destination,
        owner: &Owner,
        timeout: Duration,
        terminal: &Terminal,
    ) -> Result<()> {
        let mut told = String::new();
        let waited = wait::until_every(LOOK, timeout, platform.cancel(), || {
            let value = platform.shared(to, DEPLOY_LOCK)?;
            let before = Held::parse(value.as_deref(), to).filter(|held| held.nonce != owner.nonce);
            if let Some(held) = &before {
                let now = now();
                if !held.is_expired(now) {
                    if told != held.nonce {
                        terminal.note(format!("waiting for the deploy lock: {}", held.describe(now)));
                        told.clone_from(&held.nonce);
                    }
                    return Ok(Poll::Pending(held.describe(now)));
                }
                terminal.warn(format!("took over the deploy lock of {}, who left it", held.owner));
            }
            let now = now();
            let held = Held {
                owner: owner.name.clone(),
                run: owner.run.clone(),
                nonce: owner.nonce.clone(),
                environment: to.environment.clone(),
                since: now,
                heartbeat: now,
                expires: now + GOOD_FOR.as_secs(),
            };
            // Kept before it is written: a task that is stopped in between has something to release.
            *self.state() = State::Ours(held.clone(), Instant::now());
            platform.set_shared(to, DEPLOY_LOCK, &serde_json::to_string(&held)?)?;
            wait::rest(platform.settle(), platform.cancel())?;
            let value = platform.shared(to, DEPLOY_LOCK)?;
            match Held::parse(value.as_deref(), to) {
                Some(other) if other.nonce == owner.nonce => Ok(Poll::Ready(())),
                Some(other) => {
                    *self.state() = State::Without;
                    Ok(Poll::Pending(other.describe(now)))
                }
                None => {
                    *self.state() = State::Without;
                    Ok(Poll::Pending("somebody has emptied it".to_owned()))
                }
            }
        })?;
        match waited {
            Waited::Done(()) => Ok(()),
            Waited::TimedOut(seen) => Err(held_by_another(&seen, &owner.flags).into()),
        }
    }

    /// Fails where somebody else has it by now; renews it where that is due. To be asked while something is waited for.
    /// Where Railway does not answer, the lock is good until its time is over.
    pub fn keep(&self, platform: &dyn Platform, to: &Destination) -> Result<()> {
        let state = self.state().clone();
        match state {
            State::Ours(held, renewed) if renewed.elapsed() >= RENEWAL => {
                let is_good = held.expires > now() + RENEWAL.as_secs();
                match self.renew(platform, to, held) {
                    Err(error) if is_good && !self.is_lost() && platform.cancel().check().is_ok() => {
                        drop(error);
                        Ok(())
                    }
                    outcome => outcome,
                }
            }
            State::Ours(..) | State::Without => Ok(()),
            State::Lost(who) => Err(lost(&who).into()),
        }
    }

    /// Fails where it is not ours beyond doubt. To be asked before each step that changes something.
    pub fn confirm(&self, platform: &dyn Platform, to: &Destination) -> Result<()> {
        let state = self.state().clone();
        match state {
            State::Ours(held, _) => self.renew(platform, to, held),
            State::Without => Ok(()),
            State::Lost(who) => Err(lost(&who).into()),
        }
    }

    /// Whether somebody has taken it from us.
    pub fn is_lost(&self) -> bool {
        matches!(*self.state(), State::Lost(_))
    }

    fn renew(&self, platform: &dyn Platform, to: &Destination, mut held: Held) -> Result<()> {
        let value = platform.shared(to, DEPLOY_LOCK)?;
        let there = Held::parse(value.as_deref(), to);
        if there.as_ref().is_none_or(|there| there.nonce != held.nonce) {
            let who = there.map_or_else(|| "somebody has emptied it".to_owned(), |there| there.describe(now()));
            *self.state() = State::Lost(who.clone());
            return Err(lost(&who).into());
        }
        let now = now();
        (held.heartbeat, held.expires) = (now, now + GOOD_FOR.as_secs());
        platform.set_shared(to, DEPLOY_LOCK, &serde_json::to_string(&held)?)?;
        *self.state() = State::Ours(held, Instant::now());
        Ok(())
    }

    /// Gives it back, if it is still ours.
    pub fn release(&self, platform: &dyn Platform, to: &Destination) -> Result<()> {
        let state = std::mem::take(&mut *self.state());
        let State::Ours(held, _) = state else { return Ok(()) };
        let value = platform.shared(to, DEPLOY_LOCK)?;
        if Held::parse(value.as_deref(), to).is_some_and(|there| there.nonce == held.nonce) {
            platform.set_shared(to, DEPLOY_LOCK, FREE)?;
        }
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(who: &str) -> Failure {
    Failure::new(Exit::Locked, format!("the deploy lock was taken from us: {who}"))
}

/// Who has it, if that is somebody whose time is not over.
pub fn held(platform: &dyn Platform, to: &Destination) -> Result<Option<Held>> {
    let value = platform.shared(to, DEPLOY_LOCK)?;
    Ok(Held::parse(value.as_deref(), to).filter(|held| !held.is_expired(now())))
}

/// Gives back whatever lock is there.
pub fn break_open(platform: &dyn Platform, to: &Destination) -> Result<()> {
    platform.set_shared(to, DEPLOY_LOCK, FREE)
}

/// What stands in the variable when nobody has the lock: removing it would start a deployment.
const FREE: &str = "free";

/// The failure of one who did not get it.
fn held_by_another(seen: &str, flags: &str) -> Failure {
    Failure::new(Exit::Locked, format!("somebody else is deploying: {seen}"))
        .hint("wait, or --lock-timeout SECONDS to wait here")
        .hint(format!("cargo xtask deploy {flags} --unlock, if you know that nobody is deploying"))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
