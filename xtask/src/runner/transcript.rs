//! What a command has said, kept for the case that it fails: bounded, however much it says.

use std::collections::VecDeque;

use crate::step::Step;

/// How many of the first lines are kept.
const FIRST_LINES: usize = 500;
/// How many of the last lines are kept.
const LAST_LINES: usize = 2000;

/// The first and the last lines that a command has said.
#[derive(Debug, Default)]
pub struct Transcript {
    first: Vec<String>,
    last: VecDeque<String>,
}

impl Transcript {
    /// Takes a line in, unless it says nothing about why the step fails.
    pub fn add(&mut self, step: &Step, line: &str) {
        if step.is_noise(line) {
            return;
        }
        if self.first.len() < FIRST_LINES {
            return self.first.push(line.to_owned());
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// The lines, in their order.
    pub fn lines(&self) -> Vec<String> {
        self.first.iter().chain(&self.last).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_endless_output_the_start_and_the_end_are_kept() {
        let (step, mut transcript) = (Step::new("x", "x"), Transcript::default());
        for number in 0..100_000 {
            transcript.add(&step, &number.to_string());
        }
        let lines = transcript.lines();
        assert_eq!(lines.len(), FIRST_LINES + LAST_LINES);
        assert_eq!(
            (lines[0].as_str(), lines[FIRST_LINES - 1].as_str(), lines[FIRST_LINES].as_str()),
            ("0", "499", "98000")
        );
        assert_eq!(lines.last().map(String::as_str), Some("99999"));
    }

    #[test]
    fn what_is_noise_takes_no_room() {
        let (step, mut transcript) = (Step::new("x", "x").noise(|line| line == "noise"), Transcript::default());
        for _ in 0..FIRST_LINES {
            transcript.add(&step, "noise");
        }
        transcript.add(&step, "error");
        assert_eq!(transcript.lines(), ["error"]);
    }
}
