//! Builds of images, and what a failed one comes down to.

use std::path::Path;

use crate::step::Step;

/// Builds a stage of a Dockerfile, which is named relative to the folder that the image is made from.
pub fn build(
    root: &Path,
    file: &str,
    tag: &str,
    target: &str,
    arguments: &[(&str, &String)],
    no_cache: bool,
    pull: bool,
) -> Step {
    let step = Step::new(format!("build the image {tag}"), "docker").env("DOCKER_BUILDKIT", "1").folder(root).args([
        "build",
        "--progress",
        "plain",
        "--file",
        file,
        "--target",
        target,
        "--tag",
        tag,
    ]);
    let step =
        arguments.iter().fold(step, |step, (name, value)| step.arg("--build-arg").arg(format!("{name}={value}")));
    let step = if no_cache { step.arg("--no-cache") } else { step };
    let step = if pull { step.arg("--pull") } else { step };
    step.arg(".").digest(digest)
}

/// What a failed build's plain progress comes down to: the first error of what was run, or the last lines where there is
/// none, and the line of the Dockerfile that failed.
pub fn digest(said: &[String]) -> Vec<String> {
    // `#13 4.567 error: …` is what a command says, `#13 [build 2/2] RUN …` and `#13 ERROR: …` are the builder's own words.
    let spoken: Vec<&str> = said.iter().filter_map(|line| spoken(line)).collect();
    let first = spoken.iter().position(|line| line.trim_start().starts_with("error"));
    let mut lines: Vec<String> = match first {
        Some(first) => spoken[first..].iter().take(12).map(|line| (*line).to_owned()).collect(),
        None => spoken[spoken.len().saturating_sub(12)..].iter().map(|line| (*line).to_owned()).collect(),
    };
    let place = said.iter().rposition(|line| line.starts_with("Dockerfile:"));
    lines.extend(said[place.unwrap_or(said.len())..].iter().filter(|line| is_place(line)).cloned());
    lines.extend(said.iter().rev().find(|line| line.starts_with("ERROR")).cloned());
    lines
}

/// What a command has said, in a line of the progress.
fn spoken(line: &str) -> Option<&str> {
    let (_, rest) = line.strip_prefix('#')?.split_once(' ')?;
    let (seconds, said) = rest.split_once(' ')?;
    seconds.parse::<f64>().ok().map(|_| said)
}

/// Whether the line shows where in the Dockerfile it failed.
fn is_place(line: &str) -> bool {
    line.starts_with("Dockerfile:") || line.contains(" >>> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_comes_down_to_its_first_error_and_the_dockerfiles_line() {
        let said = "#1 [internal] load build definition\n#9 [build 2/2] RUN cargo build\n#9 1.2    Compiling backend\n\
                    #9 2.0 warning: unused\n#9 2.1 error[E0425]: cannot find value `x`\n#9 2.1   --> src/main.rs:1:1\n\
                    #9 ERROR: process \"/bin/sh -c cargo build\" did not complete\n------\n > [build 2/2] RUN:\n------\n\
                    Dockerfile:36\n--------------------\n  35 |     # why\n  36 | >>> RUN cargo build\n\
                    --------------------\nERROR: failed to solve: exit code: 101";
        let said: Vec<String> =
            said.lines().map(|line| line.trim_start_matches("                    ").to_owned()).collect();
        assert_eq!(
            digest(&said),
            [
                "error[E0425]: cannot find value `x`",
                "  --> src/main.rs:1:1",
                "Dockerfile:36",
                "  36 | >>> RUN cargo build",
                "ERROR: failed to solve: exit code: 101",
            ]
        );
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_failed_build_without_an_error_of_its_own_comes_down_to_its_last_words() {
        let said = (0..20).fold(String::new(), |text, number| format!("{text}#9 {number}.5 line {number}\n"));
        let found = digest(&lines(&format!("{said}ERROR: process did not complete\n")));
        assert_eq!(found.len(), 13);
        assert_eq!((found[0].as_str(), found[11].as_str()), ("line 8", "line 19"));
        assert_eq!(found[12], "ERROR: process did not complete");
    }

    #[test]
    fn a_builder_that_says_nothing_of_the_usual_form_is_told_as_far_as_it_goes() {
        assert_eq!(digest(&[]), [""; 0]);
        assert_eq!(digest(&lines("Cannot connect to the Docker daemon")), [""; 0]);
        assert_eq!(digest(&lines("#\n#1\n#1 x\nERROR: no builder")), ["ERROR: no builder"]);
    }

    #[test]
    fn a_build_names_its_file_stage_tag_and_arguments() {
        let (version, empty) = ("1.0".to_owned(), String::new());
        let arguments = [("VERSION", &version), ("SOURCE", &empty)];
        let shown =
            build(Path::new("/p"), "infra/Dockerfile", "app:1", "production", &arguments, false, false).to_string();
        assert_eq!(
            shown,
            "cd /p && DOCKER_BUILDKIT=1 docker build --progress plain --file infra/Dockerfile --target production \
             --tag app:1 --build-arg VERSION=1.0 --build-arg SOURCE= ."
        );
        let shown = build(Path::new("/p"), "infra/Dockerfile", "app:1", "production", &[], true, true).to_string();
        assert!(shown.ends_with("--tag app:1 --no-cache --pull ."), "{shown}");
    }
}
