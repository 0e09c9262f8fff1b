//! `thunder seed`.

use anyhow::Result;
use clap::Args;

use super::connected::connected;
use super::{Refused, output};
use crate::config::Config;
use crate::{migrations, seed};

#[derive(Args)]
pub struct Arguments {
    /// Besides, bring the reports that are made for work on performance to this number; those that are there count
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=seed::MOST_REPORTS))]
    reports: u64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::from_environment()?;
    if config.is_production() {
        return Err(Refused("demo data has no place in production").into());
    }
    let timeout = config.migrations.lock_timeout;
    let (seeded, made) = connected(&config, async |connection| {
        migrations::require_all(connection).await?;
        let seeded = seed::run(connection, timeout).await?;
        let tell = |done, total| tracing::info!("sent {done} of {total} reports");
        let made = seed::add_reports(connection, arguments.reports, timeout, tell).await?;
        anyhow::Ok((seeded, made))
    })?;
    let sign_in = format!("sign in as {}@demo.example with the password: {}", seed::ADMIN, seed::PASSWORD);
    if seeded == seed::Seeded::default() && made == 0 {
        return output::text(&format!("the demo data is already there; {sign_in}\n"));
    }
    let (users, programs, reports) = (seeded.users, seeded.programs, u64::try_from(seeded.reports)? + made);
    output::text(&format!("added {users} users, {programs} programs and {reports} reports; {sign_in}\n"))
}
