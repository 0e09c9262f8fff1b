//! Passwords: hashed with argon2id (RFC 9106), off the threads that answer requests, within a bound on memory.
//!
//! A hash takes 19 MiB and some 20 ms of a core on purpose. As many are computed at once as there are cores; a few more
//! wait; what is beyond is refused. Buffers are used again while there is more to do, and given back to the system
//! afterwards.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::problem::{Kind, Problem};

/// How many may wait for a core, besides those that have one.
const WAITING: usize = 64;
/// OWASP's least for argon2id: 19 MiB, two passes, one lane.
const PARAMS: Params = Params::DEFAULT;
/// How many blocks of 1 KiB a buffer has room for. Only what is used of it takes memory; but what is larger than 32 MiB has a
/// mapping of its own in every allocator, and goes back to the system when it is dropped. glibc keeps what is smaller.
const ROOM: usize = 33 * 1024;
/// The first letters of what bcrypt writes.
const BCRYPT: [&str; 3] = ["$2a$", "$2b$", "$2y$"];
/// The hash of a password that nobody has: compared with where there is no account, so that it takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$dGh1bmRlci1ub2JvZHk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether a password is the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Right,
    /// It is, and its hash has to be replaced by one of today's kind.
    NeedsRehash,
    /// It is not, or there is no hash.
    Wrong,
}

/// What hashes passwords; clones share it.
#[derive(Debug, Clone)]
pub struct Passwords(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cores: Arc<Semaphore>,
    /// Those that are computed, and those that wait.
    begun: AtomicUsize,
    most: usize,
    buffers: Mutex<Vec<Vec<Block>>>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self::of(cores, cores + WAITING)
    }
}

impl Passwords {
    fn of(cores: usize, most: usize) -> Self {
        let (cores, begun, buffers) = (Arc::new(Semaphore::new(cores)), AtomicUsize::new(0), Mutex::default());
        Self(Arc::new(Shared { cores, begun, most, buffers }))
    }

    /// The hash of a password, in PHC string format.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        self.work(move |buffer| hash(&password, buffer)).await?.map_err(|error| Problem::internal(&error))
    }

    /// Compares a password with a hash. It takes as long where there is none.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<Verdict, Problem> {
        self.work(move |buffer| verify(&password, hash.as_deref(), buffer)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let begun = Begun::new(&self.0)?;
        let core = Arc::clone(&self.0.cores).acquire_owned().await.map_err(|error| Problem::internal(&error))?;
        // Whoever asked may go away meanwhile; the core is free when the work is done, and not before.
        let outcome = tokio::task::spawn_blocking(move || {
            let mut buffer = begun.0.take_buffer();
            let outcome = work(&mut buffer);
            begun.0.give_back(buffer);
            drop((core, begun));
            outcome
        });
        outcome.await.map_err(|error| Problem::internal(&error))
    }
}

/// One of those that are computed or wait.
struct Begun(Arc<Shared>);

impl Begun {
    fn new(shared: &Arc<Shared>) -> Result<Self, Problem> {
        let begun = Self(Arc::clone(shared));
        if shared.begun.fetch_add(1, Ordering::Relaxed) >= shared.most {
            return Err(Problem::from(Kind::Overloaded));
        }
        Ok(begun)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.0.begun.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Nobody comes after: the memory goes back to the system.
            *self.0.buffers() = Vec::new();
        }
    }
}

impl Shared {
    fn buffers(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_buffer(&self) -> Vec<Block> {
        self.buffers().pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: Vec<Block>) {
        self.buffers().push(buffer);
    }
}

/// Computes argon2id in a buffer that grows to what the parameters ask for.
fn argon2id(
    password: &str,
    salt: &[u8],
    params: Params,
    out: &mut [u8],
    buffer: &mut Vec<Block>,
) -> Result<(), argon2::Error> {
    let blocks = params.block_count();
    if buffer.len() < blocks {
        if buffer.capacity() == 0 {
            *buffer = Vec::with_capacity(ROOM.max(blocks));
        }
        buffer.resize(blocks, Block::default());
    }
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, &mut buffer[..blocks])
}

fn hash(password: &str, buffer: &mut Vec<Block>) -> anyhow::Result<String> {
    let salt: [u8; 16] = crate::random::bytes();
    let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
    argon2id(password, &salt, PARAMS, &mut out, buffer).map_err(|error| anyhow::anyhow!("argon2id: {error}"))?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&PARAMS).map_err(phc)?,
        salt: Some(Salt::new(&salt).map_err(phc)?),
        hash: Some(Output::new(&out).map_err(phc)?),
    };
    Ok(hash.to_string())
}

fn phc(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("a hash in PHC string format: {error}")
}

fn verify(password: &str, hash: Option<&str>, buffer: &mut Vec<Block>) -> Verdict {
    let Some(hash) = hash else {
        matches(password, NOBODY, buffer);
        return Verdict::Wrong;
    };
    if BCRYPT.iter().any(|start| hash.starts_with(start)) {
        // What the service before this one stored. bcrypt never looked at more than 72 bytes.
        let is_right = bcrypt::verify(password, hash).unwrap_or(false);
        return if is_right { Verdict::NeedsRehash } else { Verdict::Wrong };
    }
    match matches(password, hash, buffer) {
        None | Some(Matched { is_right: false, .. }) => Verdict::Wrong,
        Some(Matched { is_of_today: true, .. }) => Verdict::Right,
        Some(_) => Verdict::NeedsRehash,
    }
}

struct Matched {
    is_right: bool,
    is_of_today: bool,
}

/// Compares with a hash of argon2id; none for what is no such hash.
fn matches(password: &str, hash: &str, buffer: &mut Vec<Block>) -> Option<Matched> {
    let hash = PasswordHash::new(hash).ok()?;
    let (salt, expected) = (hash.salt?, hash.hash?);
    let is_known = hash.algorithm == Algorithm::Argon2id.ident() && hash.version == Some(Version::V0x13.into());
    let params = Params::try_from(&hash).ok().filter(|_| is_known)?;
    let is_of_today = params.m_cost() == PARAMS.m_cost() && params.t_cost() == PARAMS.t_cost();
    let mut out = vec![0; expected.len()];
    argon2id(password, &salt, params, &mut out, buffer).ok()?;
    Some(Matched { is_right: out.ct_eq(expected.as_bytes()).into(), is_of_today })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_no_two_hashes_are_the_same() {
        let passwords = Passwords::default();
        let (one, two) = (passwords.hash("swordfish".into()).await.unwrap(), passwords.hash("swordfish".into()).await);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, two.unwrap());
        assert_eq!(passwords.verify("swordfish".into(), Some(one.clone())).await.unwrap(), Verdict::Right);
        for wrong in ["Swordfish", "swordfish ", ""] {
            assert_eq!(passwords.verify(wrong.into(), Some(one.clone())).await.unwrap(), Verdict::Wrong, "{wrong}");
        }
        assert_eq!(passwords.verify("swordfish".into(), None).await.unwrap(), Verdict::Wrong);
    }

    #[test]
    fn hashes_of_other_makers_are_known_and_to_be_replaced() {
        let mut buffer = Vec::new();
        let bcrypt = bcrypt::hash("swordfish", 4).unwrap();
        let node = bcrypt.replacen("$2b$", "$2a$", 1);
        // Computed with half the passes.
        let weak = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$";
        let mut out = [0; 32];
        let params = Params::new(64, 1, 1, Some(32)).unwrap();
        argon2id("swordfish", b"somesaltsomesalt", params, &mut out, &mut buffer).unwrap();
        let weak = format!("{weak}{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, out));
        for old in [bcrypt.as_str(), &node, &weak] {
            assert_eq!(verify("swordfish", Some(old), &mut buffer), Verdict::NeedsRehash, "{old}");
            assert_eq!(verify("sword", Some(old), &mut buffer), Verdict::Wrong, "{old}");
        }
        for broken in
            ["", "swordfish", "$argon2id$", "$2b$10$short", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAA"]
        {
            assert_eq!(verify("swordfish", Some(broken), &mut buffer), Verdict::Wrong, "{broken}");
        }
    }

    #[test]
    fn comparing_with_nobody_costs_what_comparing_with_somebody_does() {
        let mut buffer = Vec::new();
        let matched = matches("x", NOBODY, &mut buffer).expect("a hash");
        assert!(!matched.is_right && matched.is_of_today);
        assert_eq!(buffer.len(), PARAMS.block_count());
    }

    #[tokio::test]
    async fn only_so_many_are_taken_on_and_no_memory_is_left_behind() {
        let passwords = Passwords::of(1, 3);
        let all = (0..8).map(|_| passwords.hash("swordfish".into()));
        let outcomes = futures_util::future::join_all(all).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
        assert_eq!(passwords.0.buffers().capacity(), 0);
        assert!(passwords.hash("swordfish".into()).await.is_ok(), "there is room again");
    }
}
