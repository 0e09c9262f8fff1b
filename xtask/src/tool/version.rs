//! The numbers in what programs print of their versions.

/// `15.18` in `postgres (PostgreSQL) 15.18 (Debian …)` and its like: the first word that begins with a digit, else the
/// whole line.
pub fn word(line: &str) -> &str {
    line.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(line)
}

/// The numbers of a version, for comparing: 1, 95, 0 of `1.95.0-nightly`.
pub fn numbers(version: &str) -> Vec<u32> {
    version.trim_start_matches('v').split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// The first number, such as 15 of `15.18` or `15beta2`.
pub fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The first two numbers, such as 2 and 26 of `v2.26.1-4`.
pub fn major_minor(version: &str) -> Option<(u32, u32)> {
    let numbers = numbers(version.trim());
    Some((*numbers.first()?, *numbers.get(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_several_packagers_are_read() {
        assert_eq!(word("rustc 1.95.0 (59807616e 2026-04-14)"), "1.95.0");
        assert_eq!(word("git version 2.47.3"), "2.47.3");
        assert_eq!((major("15.18"), major("18beta2"), major("v9.1")), (Some(15), Some(18), Some(9)));
        assert_eq!(major_minor("2.26.1-4\n"), Some((2, 26)));
        assert_eq!(major_minor("v5.0.0"), Some((5, 0)));
        assert_eq!(major_minor("docker-compose version 1.29"), None);
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("1.100.0") > numbers("1.95"));
        assert!(numbers("1.95.0-nightly") >= numbers("1.95"));
        assert!(numbers("1.94.1") < numbers("1.95"));
    }

    #[test]
    fn what_has_no_version_has_none() {
        for text in ["", "v", "beta", "-1", ".5"] {
            assert_eq!(major(text), None, "{text}");
            assert_eq!(major_minor(text), None, "{text}");
            assert!(numbers(text).is_empty(), "{text}");
        }
        assert_eq!((major_minor("15"), major_minor("15.x"), major_minor("15beta2")), (None, None, None));
        assert_eq!(major("99999999999999999999"), None, "more than any version");
        assert_eq!(word("no digits here"), "no digits here");
        assert_eq!(word(""), "");
    }
}
