//! The lock of an environment: a shared variable that says who is deploying.
//!
//! Railway has no lock. Whoever writes the variable last has it; so each waits a while after writing, reads it back, and
//! has the lock only if its own word stands there. It is looked at again before each step that changes something, and
//! renewed meanwhile. `docs/deployment.md` says what this proves and what it does not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::platform::Platform;
use crate::failure::{Exit, Failure};
use crate::product::DEPLOY_LOCK;
use crate::terminal::Terminal;
use crate::tool::railway::Destination;
use crate::wait::{self, Poll, Waited};

/// For how long a lock is good that nobody renews: longer than an upload.
const GOOD_FOR: Duration = Duration::from_mins(15);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_mins(1);
/// How long others have for writing at the same time.
const SETTLE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 3_000 });
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
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// When it was renewed.
    pub heartbeat: u64,
    /// Until when it is good.
    pub expires: u64,
}

/// The lock that we have, once we have it.
#[derive(Default)]
pub struct Lock {
    held: Mutex<Option<(Held, Instant)>>,
}

/// Whoever asks for the lock.
pub struct Owner {
    /// A name.
    pub name: String,
    /// Where it can be watched.
    pub run: Option<String>,
    /// A word that nobody else has.
    pub nonce: String,
}

impl Held {
    /// What the variable says; none where it is free, or says what nobody here has written.
    pub fn parse(value: Option<&str>) -> Option<Self> {
        serde_json::from_str(value?).ok()
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
        platform: Platform<'_>,
        to: &Destination,
        owner: &Owner,
        timeout: Duration,
        terminal: &Terminal,
    ) -> Result<()> {
        let mut told = String::new();
        let waited = wait::until_every(LOOK, timeout, platform.cancel, || {
            let value = platform.shared(to, DEPLOY_LOCK)?;
            let before = Held::parse(value.as_deref()).filter(|held| held.nonce != owner.nonce);
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
                since: now,
                heartbeat: now,
                expires: now + GOOD_FOR.as_secs(),
            };
            // Kept before it is written: a task that is stopped in between has something to release.
            *self.lock() = Some((held.clone(), Instant::now()));
            platform.set_shared(to, DEPLOY_LOCK, &serde_json::to_string(&held)?)?;
            wait::rest(SETTLE, platform.cancel)?;
            let value = platform.shared(to, DEPLOY_LOCK)?;
            match Held::parse(value.as_deref()) {
                Some(other) if other.nonce == owner.nonce => Ok(Poll::Ready(())),
                Some(other) => {
                    *self.lock() = None;
                    Ok(Poll::Pending(other.describe(now)))
                }
                None => {
                    *self.lock() = None;
                    Ok(Poll::Pending("somebody has emptied it".to_owned()))
                }
            }
        })?;
        match waited {
            Waited::Done(()) => Ok(()),
            Waited::TimedOut(seen) => Err(held_by_another(&seen).into()),
        }
    }

    /// Fails where somebody else has it by now; renews it where that is due. To be asked before each step that changes
    /// something, and while one is waited for.
    pub fn keep(&self, platform: Platform<'_>, to: &Destination) -> Result<()> {
        let Some((held, renewed)) = self.lock().clone() else { return Ok(()) };
        if renewed.elapsed() < RENEWAL { Ok(()) } else { self.renew(platform, to, held) }
    }

    /// The same without waiting until it is due.
    pub fn confirm(&self, platform: Platform<'_>, to: &Destination) -> Result<()> {
        let held = self.lock().clone();
        held.map_or(Ok(()), |(held, _)| self.renew(platform, to, held))
    }

    fn renew(&self, platform: Platform<'_>, to: &Destination, mut held: Held) -> Result<()> {
        let value = platform.shared(to, DEPLOY_LOCK)?;
        let there = Held::parse(value.as_deref());
        if there.as_ref().is_none_or(|there| there.nonce != held.nonce) {
            // It is not ours to release.
            *self.lock() = None;
            let who = there.map_or_else(|| "somebody has emptied it".to_owned(), |there| there.describe(now()));
            return Err(Failure::new(Exit::Locked, format!("the deploy lock was taken from us: {who}")).into());
        }
        let now = now();
        (held.heartbeat, held.expires) = (now, now + GOOD_FOR.as_secs());
        platform.set_shared(to, DEPLOY_LOCK, &serde_json::to_string(&held)?)?;
        *self.lock() = Some((held, Instant::now()));
        Ok(())
    }

    /// Gives it back, if it is still ours.
    pub fn release(&self, platform: Platform<'_>, to: &Destination) -> Result<()> {
        let Some((held, _)) = self.lock().take() else { return Ok(()) };
        let value = platform.shared(to, DEPLOY_LOCK)?;
        if Held::parse(value.as_deref()).is_some_and(|there| there.nonce == held.nonce) {
            platform.set_shared(to, DEPLOY_LOCK, FREE)?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Held, Instant)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has it, if that is somebody whose time is not over.
pub fn held(platform: Platform<'_>, to: &Destination) -> Result<Option<Held>> {
    let value = platform.shared(to, DEPLOY_LOCK)?;
    Ok(Held::parse(value.as_deref()).filter(|held| !held.is_expired(now())))
}

/// Gives back whatever lock is there.
pub fn break_open(platform: Platform<'_>, to: &Destination) -> Result<()> {
    platform.set_shared(to, DEPLOY_LOCK, FREE)
}

/// What stands in the variable when nobody has the lock: removing it would start a deployment.
const FREE: &str = "free";

/// The failure of one who did not get it.
pub fn held_by_another(seen: &str) -> Failure {
    Failure::new(Exit::Locked, format!("somebody else is deploying: {seen}"))
        .hint("wait, or --lock-timeout SECONDS to wait here")
        .hint("cargo xtask deploy --unlock, if you know that nobody is deploying")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
