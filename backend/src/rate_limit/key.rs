//! Whose requests are counted together.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    kind: char,
    number: u128,
}

impl Key {
    /// A client that nobody knows more of. Of IPv6 the network counts, because one client has as many addresses in it as
    /// it wants (RFC 6177).
    pub fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self { kind: '4', number: u32::from(address).into() },
            IpAddr::V6(address) => Self { kind: '6', number: u128::from(address) >> 64 },
        }
    }

    /// A user, from whatever address.
    pub const fn of_user(id: Uuid) -> Self {
        Self { kind: 'u', number: id.as_u128() }
    }

    /// Anything with a name, which is kept nowhere: the address that somebody wants to sign in with, say.
    pub fn of_name(name: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(name).into();
        let number = digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
        Self { kind: 'n', number }
    }

    /// How Redis calls it.
    pub fn name(self, class: &str) -> String {
        format!("rate-limit:{class}:{}{:x}", self.kind, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Key {
        Key::of_address(address.parse().unwrap())
    }

    #[test]
    fn an_ipv6_client_has_one_key_in_its_whole_network_and_an_ipv4_client_has_one_for_its_address() {
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        // Not every IPv4 client at once.
        assert_ne!(of("::ffff:10.0.0.1"), of("::ffff:10.0.0.2"));
    }

    #[test]
    fn kinds_of_keys_do_not_meet_and_a_name_is_not_shown() {
        let user = Key::of_user(Uuid::from_u128(10 << 24 | 1));
        assert_ne!(user, of("10.0.0.1"));
        assert_eq!(user.name("default"), "rate-limit:default:ua000001");
        let name = Key::of_name("ada@lovelace.example").name("account");
        assert!(name.starts_with("rate-limit:account:n") && !name.contains("ada"), "{name}");
        assert_ne!(Key::of_name("a"), Key::of_name("b"));
    }
}
