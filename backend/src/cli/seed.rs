//! `thunder seed`.

use anyhow::Result;

use super::connected::connected;
use super::{Refused, output};
use crate::config::Config;
use crate::{migrations, seed};

pub fn run() -> Result<()> {
    let config = Config::from_environment()?;
    if config.is_production() {
        return Err(Refused("demo data has no place in production").into());
    }
    let seeded = connected(&config, async |connection| {
        migrations::require_all(connection).await?;
        seed::run(connection, config.migrations.lock_timeout).await
    })?;
    if seeded.programs == 0 {
        return output::text("the demo data is already there\n");
    }
    output::text(&format!("added {} programs and {} reports\n", seeded.programs, seeded.reports))
}
