//! Lists a page at a time, by key instead of by offset: a page costs the same wherever it is, and rows that come or go
//! meanwhile neither repeat nor hide others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sqlx::{Postgres, QueryBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::request::{Given, Parameters};

const DEFAULT_LIMIT: u16 = 20;
const MOST: u16 = 100;

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

/// Which page of a list is asked for.
#[derive(Debug, Default, Clone, Copy)]
pub struct Bounds {
    limit: u16,
    after: Option<Key>,
}

impl Bounds {
    /// The first page, with at most so many rows.
    pub fn first(limit: u16) -> Self {
        Self { limit, after: None }
    }

    /// The parameters of every list: `limit`, 1 to 100, and `cursor`, as the page before gave it out.
    pub fn read(given: &mut Given<'_>) -> Option<Self> {
        let limit = given.optional("limit", |text| {
            let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
            limit.ok_or_else(|| format!("must be a whole number from 1 to {MOST}").into())
        });
        let after = given.optional("cursor", |text| {
            Key::decode(text)
                .ok_or_else(|| "is not one that this list gave out; leave it away to start from the newest".into())
        });
        Some(Self { limit: limit?.unwrap_or(DEFAULT_LIMIT), after: after? })
    }

    /// Adds condition, order and limit to a query that has a `WHERE`; `table` is the prefix of the columns. One row more
    /// than was asked for tells whether there is a next page.
    pub fn push(&self, query: &mut QueryBuilder<Postgres>, table: &'static str) {
        self.push_order(query, table);
        query.push_bind(i64::from(self.limit) + 1);
    }

    /// The same with the limit as a part of the statement, for one that PostgreSQL plans otherwise when it does not know how
    /// few rows are wanted.
    pub fn push_known(&self, query: &mut QueryBuilder<Postgres>, table: &'static str) {
        self.push_order(query, table);
        query.push(i64::from(self.limit) + 1);
    }

    fn push_order(&self, query: &mut QueryBuilder<Postgres>, table: &'static str) {
        if let Some(Key { created_at, id }) = self.after {
            query.push(" AND (").push(table).push("created_at, ").push(table).push("id) < (");
            query.push_bind(created_at).push(", ").push_bind(id).push(")");
        }
        query.push(" ORDER BY ").push(table).push("created_at DESC, ").push(table).push("id DESC LIMIT ");
    }

    /// The page that the rows make.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> Key) -> Page<T> {
        let has_next = rows.len() > usize::from(self.limit);
        rows.truncate(usize::from(self.limit));
        let next_cursor = if has_next { rows.last().map(|row| key(row).encode()) } else { None };
        Page { items: rows, next_cursor }
    }
}

/// A list that is narrowed by nothing but its pages.
impl Parameters for Bounds {
    fn read(given: &mut Given<'_>) -> Option<Self> {
        Self::read(given)
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
            assert_eq!(Key::decode(cursor), None, "{cursor}");
        }
    }

    #[test]
    fn only_a_full_page_has_a_next_one() {
        let bounds = Bounds::first(2);
        let page = bounds.page(vec![3, 2], |row| key(*row));
        assert_eq!((page.items.len(), page.next_cursor), (2, None));
        let page = bounds.page(vec![3, 2, 1], |row| key(*row));
        assert_eq!(page.items, [3, 2]);
        assert_eq!(Key::decode(&page.next_cursor.unwrap()).unwrap().created_at, key(2).created_at);
    }
}
