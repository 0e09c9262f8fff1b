//! The variables that a rehearsed version gets: secrets that are made once, and what `.env.rehearsal` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::ENVIRONMENT;
use crate::context::Context;
use crate::file;
use crate::product::setting::{DATABASE_URL, FOR_A_TRY, GENERATED, OPERATOR_TOKEN, POSTGRES_PASSWORD, REDIS_URL};
use crate::product::{DATABASE, ROLE};
use crate::settings::{self, Settings, declared};
use crate::tool::backend::Variable;

/// The variables of a rehearsal.
#[derive(Debug, Clone)]
pub struct Variables {
    secrets: PathBuf,
    own: PathBuf,
}

impl Variables {
    /// Of that checkout, with the secrets in the folder.
    pub fn of(root: &Path, folder: &Path) -> Self {
        Self { secrets: folder.join("secrets.env"), own: root.join(format!(".env.{ENVIRONMENT}")) }
    }

    /// Makes the secrets, unless they are there.
    pub fn make_secrets(&self, context: &Context) -> Result<()> {
        if !self.secrets.is_file() {
            let mut text = String::new();
            for name in [POSTGRES_PASSWORD].iter().chain(GENERATED) {
                text.push_str(&format!("{name}={}\n", settings::secret()?));
            }
            file::write(&self.secrets, text.as_bytes(), 0o600)?;
        }
        for (_, value) in read(&self.secrets)?.iter() {
            context.terminal.hide(value);
        }
        Ok(())
    }

    /// The password of the database.
    pub fn password(&self) -> Result<String> {
        Ok(read(&self.secrets)?.require(POSTGRES_PASSWORD)?.to_owned())
    }

    /// What lets a walk through a version sign in; none before there are secrets.
    pub fn operator_token(&self) -> Option<Variable> {
        let own = self.own_values().ok()?.remove(OPERATOR_TOKEN);
        let token = own.or_else(|| read(&self.secrets).ok()?.get(OPERATOR_TOKEN).map(str::to_owned))?;
        Some(Variable::secret(OPERATOR_TOKEN, token))
    }

    /// The names, which are known before there are values.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> =
            [DATABASE_URL, REDIS_URL].iter().chain(GENERATED).map(|name| (*name).to_owned()).collect();
        names.extend(FOR_A_TRY.iter().map(|(name, _)| (*name).to_owned()));
        names.extend(self.own_values()?.into_keys());
        Ok(names)
    }

    /// Names and values; those of the file go before ours.
    pub fn values(&self, context: &Context) -> Result<BTreeMap<String, String>> {
        let secrets = read(&self.secrets)?;
        let database = format!("postgres://{ROLE}:{}@postgres:5432/{DATABASE}", self.password()?);
        let mut values = BTreeMap::from([
            (DATABASE_URL.to_owned(), database),
            (REDIS_URL.to_owned(), "redis://redis:6379".to_owned()),
        ]);
        values.extend(FOR_A_TRY.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        for name in GENERATED {
            values.insert((*name).to_owned(), secrets.require(name)?.to_owned());
        }
        let from_file = self.own_values()?;
        let is_harmless = |name: &str| declared().iter().any(|setting| setting.name == name && !setting.secret);
        for (_, value) in from_file.iter().filter(|(name, _)| !is_harmless(name)) {
            context.terminal.hide(value);
        }
        values.extend(from_file);
        Ok(values)
    }

    fn own_values(&self) -> Result<BTreeMap<String, String>> {
        if !self.own.is_file() {
            return Ok(BTreeMap::new());
        }
        Ok(read(&self.own)?.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

fn read(path: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Settings::parse(&text).with_context(|| format!("{} is wrong", path.display()))
}
