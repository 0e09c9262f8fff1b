//! Watch: the new version is asked by everybody now; it answers no more often with 5xx than the one before did.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::phases::timed;
use super::platform::{Destination, Status};
use super::ship::timestamp;
use super::{Release, verify};
use crate::failure::{Exit, Failure};
use crate::plan::{Access, Action};
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
    let platform = &*release.platform(access);
    let found = release.found()?;
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(release.began);
    let since = SystemTime::now();
    let ask = |to: &Destination, from, until| platform.answers(to, &timestamp(from), &timestamp(until)).ok();
    let services: Vec<(usize, &Destination, Option<Answers>)> = found
        .target
        .services
        .iter()
        .enumerate()
        .map(|(index, to)| (index, to, ask(to, began - BEFORE, began)))
        .collect();
    for (_, to, _) in services.iter().filter(|(.., before)| before.is_none()) {
        let what = format!(
            "{} does not tell how {} answers: its share of 5xx is not watched",
            platform.name(),
            to.service_name
        );
        access.context.terminal.warn(what);
    }
    let end = Instant::now() + release.request.watch;
    loop {
        wait::rest(LOOK.min(end.saturating_duration_since(Instant::now())), access.cancel)?;
        for (index, to, before) in &services {
            release.lock.keep(platform, to)?;
            still_serves(release, access, *index, to)?;
            let Some(before) = before else { continue };
            // One count that does not come is no verdict: the next one has it all.
            if let Some(now) = ask(to, since, SystemTime::now()) {
                access.line.detail(&format!("{} of {} answers are 5xx", now.1, now.0));
                compare(to, *before, now)?;
            }
        }
        if Instant::now() >= end {
            // Few may have asked: so it is asked once more.
            return services.iter().try_for_each(|(index, ..)| verify::answers(release, access, *index));
        }
    }
}

/// Fails where the deployment has ended, or where another one serves by now.
fn still_serves(release: &Release, access: &Access<'_>, index: usize, to: &Destination) -> Result<()> {
    let platform = &*release.platform(access);
    let service = &release.declared()?.services[index];
    let id = release.deployment_of(&service.name)?;
    let Ok(Ok(deployment)) = platform.look_at(&id) else { return access.cancel.check() };
    if deployment.verdict() == Status::Bad {
        let what = format!("the deployment {id} of {} {}", to.service_name, deployment.status.to_lowercase());
        return Err(Failure::new(Exit::Unhealthy, what).into());
    }
    Ok(())
}

/// How many requests were answered, and how many of them with 5xx.
type Answers = (f64, f64);

/// Fails where the share has grown by more than is tolerated.
fn compare(to: &Destination, before: Answers, now: Answers) -> Result<()> {
    let share = |(all, bad): Answers| if all > 0.0 { bad / all } else { 0.0 };
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
