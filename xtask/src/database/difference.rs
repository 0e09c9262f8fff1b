//! How two texts differ, line by line.

/// Lines that are the same and shown before and after those that differ.
const CONTEXT: usize = 2;

/// A line of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'t> {
    /// In both texts.
    Same(&'t str),
    /// In the first only.
    Removed(&'t str),
    /// In the second only.
    Added(&'t str),
    /// Lines that are the same were left out.
    Gap,
}

/// The lines that differ, with some of those around them. Nothing where the texts have the same lines.
pub fn difference<'t>(before: &'t str, after: &'t str) -> Vec<Line<'t>> {
    let lines = compared(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>());
    let is_near = |index: usize| {
        let around = &lines[index.saturating_sub(CONTEXT)..lines.len().min(index + CONTEXT + 1)];
        around.iter().any(|line| !matches!(line, Line::Same(_)))
    };
    let mut shown = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if is_near(index) {
            shown.push(*line);
        } else if shown.last() != Some(&Line::Gap) {
            shown.push(Line::Gap);
        }
    }
    if shown == [Line::Gap] { Vec::new() } else { shown }
}

/// Every line of both texts, by the longest sequence of lines that they have in common.
fn compared<'t>(before: &[&'t str], after: &[&'t str]) -> Vec<Line<'t>> {
    // How many lines the rests have in common.
    let mut common = vec![vec![0_usize; after.len() + 1]; before.len() + 1];
    for one in (0..before.len()).rev() {
        for other in (0..after.len()).rev() {
            common[one][other] = if before[one] == after[other] {
                common[one + 1][other + 1] + 1
            } else {
                common[one + 1][other].max(common[one][other + 1])
            };
        }
    }
    let (mut one, mut other, mut lines) = (0, 0, Vec::new());
    while one < before.len() || other < after.len() {
        if one < before.len() && other < after.len() && before[one] == after[other] {
            lines.push(Line::Same(before[one]));
            (one, other) = (one + 1, other + 1);
        } else if one < before.len() && (other == after.len() || common[one + 1][other] >= common[one][other + 1]) {
            lines.push(Line::Removed(before[one]));
            one += 1;
        } else {
            lines.push(Line::Added(after[other]));
            other += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::Line::{Added, Gap, Removed, Same};
    use super::*;

    #[test]
    fn lines_that_differ_are_told_with_those_around_them() {
        let (before, after) = ("1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\nfive\n6\n7\n8\n");
        let expected = [Gap, Same("3"), Same("4"), Removed("5"), Added("five"), Same("6"), Same("7"), Gap];
        assert_eq!(difference(before, after), expected);
        assert_eq!(difference("a\nb", "b\nc"), [Removed("a"), Same("b"), Added("c")]);
        assert_eq!(difference("", "a"), [Added("a")]);
        assert_eq!(difference("a", ""), [Removed("a")]);
    }

    #[test]
    fn texts_with_the_same_lines_do_not_differ() {
        for (before, after) in [("", ""), ("a\nb\n", "a\nb"), ("a\r\nb\r\n", "a\nb\n")] {
            assert_eq!(difference(before, after), []);
        }
    }
}
