//! `thunder seed`.

use anyhow::Result;
use tokio::runtime::Runtime;

use super::{Refused, output};
use crate::config::{Config, Environment};
use crate::{migrations, seed};

pub fn run() -> Result<()> {
    let config = Config::from_environment()?;
    if config.environment == Environment::Production {
        return Err(Refused("demo data has no place in production").into());
    }
    let seeded = Runtime::new()?.block_on(async {
        let mut connection = migrations::connect(&config).await?;
        migrations::require_all(&mut connection).await?;
        seed::run(&mut connection).await
    })?;
    if seeded.programs == 0 {
        return output::text("the demo data is already there\n");
    }
    output::text(&format!("added {} programs and {} reports\n", seeded.programs, seeded.reports))
}
