//! Applied migrations whose files were changed since: how they differ, and recording that the change is meant.

use serde::Serialize;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use super::status::{State, status};
use super::{Migrate, MigrationError, text};

/// An applied migration whose file was changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Altered {
    /// The time stamp in the file's name.
    pub version: i64,
    /// The name of its files, without their ending.
    pub file: String,
    /// The checksum that was recorded when it was applied, in hexadecimal digits.
    pub recorded_checksum: String,
    /// That of the file as it is now.
    pub checksum: String,
    /// What was applied; none where it was not recorded.
    pub recorded: Option<String>,
    /// What the file holds now.
    pub now: String,
}

impl Altered {
    /// The first line that differs, as it was and as it is; none where what was applied is not known.
    pub fn first_difference(&self) -> Option<String> {
        let recorded = self.recorded.as_deref()?;
        let (mut before, mut after) = (recorded.lines(), self.now.lines());
        for number in 1.. {
            match (before.next(), after.next()) {
                (Some(before), Some(after)) if before == after => {}
                (Some(before), Some(after)) => {
                    return Some(format!("line {number} was `{}` and is `{}`", before.trim(), after.trim()));
                }
                (Some(before), None) => return Some(format!("line {number}, `{}`, is gone", before.trim())),
                (None, Some(after)) => return Some(format!("line {number} is new: `{}`", after.trim())),
                (None, None) => return None,
            }
        }
        None
    }
}

/// The applied migrations whose files were changed since, oldest first.
pub async fn altered(connection: &mut PgConnection, known: &Migrator) -> Result<Vec<Altered>, sqlx::Error> {
    let entries = status(connection, known).await?;
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| entry.state == State::Altered) {
        let Some(migration) = super::status::up(known).find(|one| one.version == entry.version) else { continue };
        let checksum: Vec<u8> = sqlx::query_scalar("SELECT checksum FROM _sqlx_migrations WHERE version = $1")
            .bind(entry.version)
            .fetch_one(&mut *connection)
            .await?;
        found.push(Altered {
            version: entry.version,
            file: entry.file(),
            recorded_checksum: hexadecimal(&checksum),
            checksum: hexadecimal(&migration.checksum),
            recorded: text::up(connection, entry.version).await?,
            now: migration.sql.as_str().to_owned(),
        });
    }
    Ok(found)
}

impl Migrate<'_> {
    /// Records the file as it is now for the one that was applied. With a checksum, only if the file has that one: it is
    /// what somebody has looked at.
    pub async fn bless(
        &self,
        connection: &mut PgConnection,
        version: i64,
        checksum: Option<&str>,
    ) -> Result<Altered, MigrationError> {
        self.locked(connection, async |connection| {
            let altered = altered(connection, self.known).await?.into_iter().find(|one| one.version == version);
            let altered = altered.ok_or(MigrationError::NotAltered(version))?;
            if checksum.is_some_and(|seen| seen != altered.checksum) {
                return Err(MigrationError::ChangedMeanwhile(altered.file));
            }
            let up = self.up(version).ok_or(MigrationError::NotAltered(version))?;
            text::ensure_table(connection).await?;
            let mut transaction = connection.begin().await?;
            sqlx::query("UPDATE _sqlx_migrations SET checksum = $2 WHERE version = $1")
                .bind(version)
                .bind(&*up.checksum)
                .execute(&mut *transaction)
                .await?;
            text::record(&mut transaction, up, text::down_of(self.known, version)).await?;
            transaction.commit().await?;
            Ok(altered)
        })
        .await
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_told() {
        let told = |recorded: Option<&str>, now: &str| {
            let recorded = recorded.map(str::to_owned);
            let (file, recorded_checksum, checksum) = (String::new(), String::new(), String::new());
            Altered { version: 1, file, recorded_checksum, checksum, recorded, now: now.to_owned() }.first_difference()
        };
        assert_eq!(told(Some("a\n b;\n"), "a\nc;\n").unwrap(), "line 2 was `b;` and is `c;`");
        assert_eq!(told(Some("a\nb\n"), "a\n").unwrap(), "line 2, `b`, is gone");
        assert_eq!(told(Some("a\n"), "a\nb\n").unwrap(), "line 2 is new: `b`");
        assert_eq!((told(None, "a"), told(Some("a"), "a\n")), (None, None));
    }
}
