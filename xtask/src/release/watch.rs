//! Watch: the new version is asked by everybody now; it answers no more often with 5xx than the one before did.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::Release;
use super::phases::timed;
use super::ship::timestamp;
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Action};
use crate::tool::railway::Destination;
use crate::wait;

/// How often the answers are counted.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 10_000 });
/// How far back the version before is looked at.
const BEFORE: Duration = Duration::from_mins(10);
/// By how much the share of 5xx may grow: one in a hundred.
pub const TOLERANCE: f64 = 0.01;
/// How many 5xx are not worth a word, whatever their share.
pub const FEW: f64 = 5.0;

/// What is done.
pub fn actions(release: &Arc<Release>) -> Vec<Action> {
    let time = humantime::format_duration(release.request.watch);
    let what = format!("compare the share of 5xx with that of the version before, for {time}");
    vec![timed(release, "watch", what, vec![], watch)]
}

fn watch(release: &Release, access: &Access<'_>) -> Result<()> {
    let platform = release.platform(access);
    let found = release.found.get()?;
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(release.began);
    let since = SystemTime::now();
    let before: Vec<(f64, f64)> = found
        .target
        .services
        .iter()
        .map(|to| platform.answers(to, &timestamp(began - BEFORE), &timestamp(began)))
        .collect::<Result<_>>()?;
    let end = Instant::now() + release.request.watch;
    loop {
        wait::rest(LOOK.min(end.saturating_duration_since(Instant::now())), access.cancel)?;
        for (to, before) in found.target.services.iter().zip(&before) {
            release.lock.keep(platform, to)?;
            let now = platform.answers(to, &timestamp(since), &timestamp(SystemTime::now()))?;
            access.line.detail(&format!("{} of {} answers are 5xx", now.1, now.0));
            compare(to, *before, now)?;
        }
        if Instant::now() >= end {
            return Ok(());
        }
    }
}

/// Fails where the share has grown by more than is tolerated.
fn compare(to: &Destination, before: (f64, f64), now: (f64, f64)) -> Result<()> {
    let share = |(all, bad): (f64, f64)| if all > 0.0 { bad / all } else { 0.0 };
    if now.1 < FEW || share(now) <= share(before) + TOLERANCE {
        return Ok(());
    }
    let percent = |answers| format!("{:.1} %", 100.0 * share(answers));
    let what = format!(
        "{} answers {} of requests with 5xx, and the version before {}",
        to.service_name,
        percent(now),
        percent(before)
    );
    Err(Failure::new(Exit::Unhealthy, what).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(before: (f64, f64), now: (f64, f64)) -> bool {
        let to = Destination {
            project: "p".to_owned(),
            environment: "e".to_owned(),
            service: "s".to_owned(),
            service_name: "api".to_owned(),
        };
        compare(&to, before, now).is_ok()
    }

    #[test]
    fn what_was_bad_before_may_stay_so_and_a_few_errors_are_no_trend() {
        assert!(is_fine((0.0, 0.0), (0.0, 0.0)), "nobody asks");
        assert!(is_fine((1_000.0, 0.0), (4.0, 4.0)), "a few");
        assert!(is_fine((100.0, 50.0), (100.0, 51.0)), "the version before was as bad");
        assert!(is_fine((1_000.0, 0.0), (1_000.0, 10.0)), "one in a hundred");
        assert!(!is_fine((1_000.0, 0.0), (1_000.0, 11.0)));
        assert!(!is_fine((0.0, 0.0), (10.0, 10.0)), "nothing was known before");
    }
}
