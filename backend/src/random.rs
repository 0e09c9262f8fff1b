//! Random bytes from the system.

use ring::rand::{SecureRandom as _, SystemRandom};

/// So many random bytes.
///
/// # Panics
///
/// Where the system gives none: nothing may go on with bytes that somebody could guess.
#[expect(clippy::expect_used, reason = "nothing may go on with bytes that somebody could guess")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
