//! `env`: the local settings.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Checkout, of};

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
        .filter(|line| !line.starts_with("LOG_LEVEL=") && !line.starts_with("JWT_REFRESH_SECRET="))
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
        "JWT_REFRESH_SECRET is missing",
        "TYPO is not a setting",
    ]);
    assert!(!ran.stderr.contains("hunter2"));
    assert!(!ran.stderr.contains("LOG_LEVEL"), "what has a default may be missing: {}", ran.stderr);
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
    let ran = checkout.xtask(&["up"]).expect(3).says(&["line 1: JWT_SECRET holds the character '", "next:"]);
    assert!(!ran.stderr.contains("hunter2"));
    assert!(!checkout.exists(".stack/run"));
}

/// The settings with another value for this one.
fn set(checkout: &Checkout, name: &str, value: &str) {
    let settings = checkout.read(".env.docker");
    let line =
        |line: &str| if line.starts_with(&format!("{name}=")) { format!("{name}={value}") } else { line.to_owned() };
    checkout.write(".env.docker", &settings.lines().map(line).collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_the_backend_does_not_take_is_told_by_check_and_stops_up_before_anything_is_started() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    set(&checkout, "JWT_SECRET", "short");
    checkout.xtask(&["env", "check"]).expect(3).says(&["JWT_SECRET must be at least 32 characters"]);
    let json = checkout.xtask(&["env", "check", "--json"]).expect(3).json();
    assert_eq!((&json["ok"], json["problems"].as_array().unwrap().len()), (&false.into(), 1));

    let ran = checkout.xtask(&["up"]).expect(3).says(&["next: edit .env.docker"]);
    let place = |words: &str| ran.stderr.find(words).unwrap_or_else(|| panic!("{words:?} is not in {}", ran.stderr));
    assert!(place("JWT_SECRET must be") < place("command: "), "the cause comes first: {}", ran.stderr);
    assert!(!ran.stderr.contains("start PostgreSQL"), "{}", ran.stderr);
    assert!(!checkout.exists(".stack/run/postgres.json") && checkout.inhabitants().is_empty());
}

#[test]
fn a_setting_that_the_file_lacks_can_be_added() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let whole = checkout.read(".env.docker");
    let lacking: Vec<&str> =
        whole.lines().filter(|line| !line.starts_with("JWT_SECRET=") && !line.starts_with("LOG_LEVEL=")).collect();
    checkout.write(".env.docker", &format!("{}\n", lacking.join("\n")));
    checkout.xtask(&["env", "check"]).expect(3).says(&["JWT_SECRET is missing", "cargo xtask env init --add-missing"]);
    checkout.xtask(&["env", "init", "--add-missing"]).expect(0).says(&["added JWT_SECRET, LOG_LEVEL to .env.docker"]);
    checkout.xtask(&["env", "check"]).expect(0);
    let text = checkout.read(".env.docker");
    assert!(text.contains("# Signs access tokens") && text.contains("\nLOG_LEVEL=info\n"), "{text}");
    checkout.xtask(&["env", "init", "--add-missing"]).expect(0).says(&["has every setting"]);

    // A file from before a secret was made for everybody: it goes on working, and gets one where that is asked for.
    set(&checkout, "HEALTH_TOKEN", "");
    checkout.xtask(&["env", "check"]).expect(0);
    checkout.xtask(&["env", "init", "--add-missing"]).expect(0).says(&["added HEALTH_TOKEN to .env.docker"]);
    let text = checkout.read(".env.docker");
    assert_eq!(text.matches("HEALTH_TOKEN=").count(), 1, "{text}");
    set(&checkout, "JWT_SECRET", "");
    checkout.xtask(&["env", "check"]).expect(3).says(&["JWT_SECRET is empty", "cargo xtask env init --add-missing"]);
    checkout.xtask(&["env", "init", "--add-missing"]).expect(0);
    checkout.xtask(&["env", "check"]).expect(0);
}

#[test]
fn a_file_of_secrets_that_others_can_read_gets_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(checkout.path(".env.docker"), open).unwrap();
    checkout.xtask(&["env", "check"]).expect(0).says(&["warning: others can read .env.docker", "chmod 600"]);
    checkout.xtask(&["up", "redis"]).expect(0).says(&["warning: others can read .env.docker"]);
}

#[test]
fn an_edited_port_counts_from_the_next_start_on_and_is_shown_as_it_is_in_use() {
    let checkout = Checkout::new();
    let port = |checkout: &Checkout| of(&checkout.status(), "redis")["port"].clone();
    checkout.xtask(&["up", "redis"]).expect(0);
    let moved = port(&checkout);
    let shown = checkout.xtask(&["env", "show"]).expect(0).stdout;
    assert!(shown.contains(&format!("REDIS_PORT={moved}\n")), "{shown}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    set(&checkout, "REDIS_PORT", &free.to_string());
    checkout.xtask(&["up"]).expect(0).says(&["REDIS_PORT has changed", "cargo xtask restart redis"]);
    assert_eq!(port(&checkout), moved, "what runs stays where it is");
    checkout.xtask(&["restart", "redis"]).expect(0);
    assert_eq!(port(&checkout), free);
}

#[test]
fn only_the_service_whose_port_is_taken_moves() {
    let checkout = Checkout::new();
    checkout.xtask(&["env", "init"]).expect(0);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = |_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let [redis, postgres] = [0, 1].map(free);
    set(&checkout, "BACKEND_PORT", &taken.local_addr().unwrap().port().to_string());
    set(&checkout, "REDIS_PORT", &redis.to_string());
    set(&checkout, "POSTGRES_PORT", &postgres.to_string());
    checkout.xtask(&["up"]).expect(0).says(&["for backend, is taken by", "backend uses port 2"]);
    let status = checkout.status();
    assert_eq!((&of(&status, "redis")["port"], &of(&status, "postgres")["port"]), (&redis.into(), &postgres.into()));
}
