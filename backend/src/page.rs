//! Lists a page at a time, by key instead of by offset: a page costs the same wherever it is, and rows that come or go
//! meanwhile neither repeat nor hide others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::problem::{Problem, Violation};

const DEFAULT_LIMIT: u16 = 20;
const MOST: u16 = 100;

/// The query parameters of every list. Kept flat in each list's own parameters, because serde's `flatten` would turn
/// numbers into text.
#[derive(Debug, Default, Clone, Deserialize)]
pub struct Window {
    /// How many rows, 1 to 100.
    pub limit: Option<u16>,
    /// Where the page before ended, as it said in `next_cursor`.
    pub cursor: Option<String>,
}

/// A page of `T`, and where the next one starts.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The rows, newest first.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; absent on the last.
    pub next_cursor: Option<String>,
}

/// The place of a row in a list that is ordered by `(created_at, id)`, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// When the row was made.
    pub created_at: OffsetDateTime,
    /// Its id, which decides between rows of the same moment.
    pub id: Uuid,
}

/// A [`Window`] that was checked.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    limit: u16,
    after: Option<Key>,
}

impl Window {
    /// The bounds of the page, or which parameter is wrong.
    pub fn bounds(&self) -> Result<Bounds, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MOST).contains(&limit) {
            let detail = format!("must be a whole number from 1 to {MOST}");
            return Err(Problem::bad_parameter(Violation::parameter("limit", detail)));
        }
        let after = match &self.cursor {
            None => None,
            Some(cursor) => Some(Key::decode(cursor).ok_or_else(|| {
                let detail = "is not one that this list gave out; leave it away to start from the newest";
                Problem::bad_parameter(Violation::parameter("cursor", detail))
            })?),
        };
        Ok(Bounds { limit, after })
    }
}

impl Bounds {
    /// One row more than was asked for, which tells whether there is a next page.
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// When the last row of the page before was made.
    pub fn after_created_at(&self) -> Option<OffsetDateTime> {
        self.after.map(|key| key.created_at)
    }

    /// The id of the last row of the page before.
    pub fn after_id(&self) -> Option<Uuid> {
        self.after.map(|key| key.id)
    }

    /// The page that the rows make.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> Key) -> Page<T> {
        let has_next = rows.len() > usize::from(self.limit);
        rows.truncate(usize::from(self.limit));
        let next_cursor = if has_next { rows.last().map(|row| key(row).encode()) } else { None };
        Page { items: rows, next_cursor }
    }
}

impl Key {
    /// PostgreSQL keeps microseconds, so that nothing is lost.
    fn encode(self) -> String {
        let microseconds = i64::try_from(self.created_at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX);
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&microseconds.to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(cursor: &str) -> Option<Self> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        let (time, id) = bytes.split_at(8);
        let microseconds = i64::from_be_bytes(time.try_into().ok()?);
        let created_at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1000).ok()?;
        // Dates outside this range are valid here and an error to PostgreSQL.
        (1970..=9999).contains(&created_at.year()).then_some(())?;
        Some(Self { created_at, id: Uuid::from_slice(id).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(microseconds: i128) -> Key {
        let created_at = OffsetDateTime::from_unix_timestamp_nanos(microseconds * 1000).unwrap();
        Key { created_at, id: Uuid::now_v7() }
    }

    #[test]
    fn a_cursor_brings_back_its_key_to_the_microsecond() {
        let key = key(1_795_000_000_123_457);
        assert_eq!(Key::decode(&key.encode()), Some(key));
    }

    #[test]
    fn a_cursor_that_nobody_gave_out_is_refused() {
        for cursor in ["", "x", "AAAA", "!!!!", &URL_SAFE_NO_PAD.encode([0xff; 24])] {
            let window = Window { limit: None, cursor: Some(cursor.to_owned()) };
            assert!(window.bounds().is_err(), "{cursor}");
        }
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        let bounds = Window { limit: Some(2), cursor: None }.bounds().unwrap();
        assert_eq!(bounds.rows(), 3);
        let page = bounds.page(vec![3, 2], |row| key(*row));
        assert_eq!((page.items.len(), page.next_cursor), (2, None));
        let page = bounds.page(vec![3, 2, 1], |row| key(*row));
        assert_eq!(page.items, [3, 2]);
        assert_eq!(Key::decode(&page.next_cursor.unwrap()).unwrap().created_at, key(2).created_at);
    }

    #[test]
    fn the_limit_has_limits() {
        for limit in [0, 101, u16::MAX] {
            assert!(Window { limit: Some(limit), cursor: None }.bounds().is_err());
        }
    }
}
