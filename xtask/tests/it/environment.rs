//! `env`: the local settings.

use std::os::unix::fs::PermissionsExt;

use crate::support::Checkout;

#[test]
fn init_makes_secrets_of_its_own_that_only_the_owner_reads() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let mode = std::fs::metadata(checkout.path(".env.docker")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = checkout.read(".env.docker");
    assert!(!text.contains("=<generated>"));
    let mut secrets: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(_, value)| value)
        .filter(|value| value.len() == 64)
        .collect();
    secrets.sort_unstable();
    secrets.dedup();
    assert_eq!(secrets.len(), 5, "five different secrets");
    assert!(text.contains("# Signs access tokens"), "the comments come along");
}

#[test]
fn init_never_writes_over_settings_that_are_there() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let mine = checkout.read(".env.docker");
    checkout.xtask(&["env", "init"]).expect(9).says(&["is there already", "--force"]);
    assert_eq!(checkout.read(".env.docker"), mine);
    checkout.xtask(&["env", "init", "--force"]).expect(0);
    assert_ne!(checkout.read(".env.docker"), mine);
    assert_eq!(checkout.read(".env.docker.old"), mine, "the old ones are kept");
}

#[test]
fn check_names_everything_that_is_wrong_and_shows_no_value() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "check"]).expect(3).says(&["cargo xtask env init"]);
    checkout.xtask(&["env", "init"]).expect(0);
    checkout.xtask(&["env", "check"]).expect(0);
    let broken: Vec<String> = checkout
        .read(".env.docker")
        .lines()
        .filter(|line| !line.starts_with("LOG_LEVEL="))
        .map(|line| match line.split_once('=') {
            Some((name @ "JWT_SECRET", _)) => format!("{name}="),
            Some((name @ "REDIS_PORT", _)) => format!("{name}=hunter2"),
            _ => line.to_owned(),
        })
        .collect();
    checkout.write(".env.docker", &format!("{}\nTYPO=hunter2\n", broken.join("\n")));
    let ran = checkout.xtask(&["env", "check"]).expect(3).says(&[
        "JWT_SECRET is empty",
        "REDIS_PORT must be a whole number",
        "LOG_LEVEL is missing",
        "TYPO is not a setting",
    ]);
    assert!(!ran.stderr.contains("hunter2"));
    assert_eq!(checkout.xtask(&["env", "check", "--json"]).expect(3).json()["problems"].as_array().unwrap().len(), 4);
}

#[test]
fn show_hides_secrets_unless_it_is_told_otherwise() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let settings = checkout.read(".env.docker");
    let secret = settings.lines().find_map(|line| line.strip_prefix("POSTGRES_PASSWORD=")).unwrap();
    let shown = checkout.xtask(&["env", "show"]).expect(0).stdout;
    assert!(shown.contains("POSTGRES_PASSWORD=***\n") && shown.contains("DATABASE_URL=***\n"), "{shown}");
    assert!(!shown.contains(secret));
    let revealed = checkout.xtask(&["env", "show", "--reveal"]).expect(0).stdout;
    assert!(
        revealed.contains(&format!("DATABASE_URL=postgres://thunder:{secret}@127.0.0.1:5432/thunder\n")),
        "{revealed}"
    );
    let json = checkout.xtask(&["env", "show", "--json"]).expect(0).json();
    assert_eq!(json["settings"]["DATABASE_URL"]["value"], "***");
    assert_eq!(json["settings"]["LOG_LEVEL"]["from"], ".env.docker");
}

#[test]
fn wrong_settings_stop_up_before_anything_is_started() {
    let checkout = Checkout::new();
    checkout.write(".env.docker", "JWT_SECRET='hunter2'\n");
    let ran = checkout.xtask(&["up"]).expect(3).says(&["line 1: JWT_SECRET holds '\\''"]);
    assert!(!ran.stderr.contains("hunter2"));
    assert!(!checkout.exists(".stack/run"));
}
