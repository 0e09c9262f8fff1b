//! `doctor`: what is needed, what is there, and what fixes it.

use serde_json::Value;

use crate::support::Checkout;

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn everything_is_found_with_its_version_and_minimum() {
    let report = Checkout::new().xtask(&["doctor", "--json"]).expect(0).json();
    assert_eq!(report["ok"], true);
    for (name, minimum) in [("Rust", env!("CARGO_PKG_RUST_VERSION")), ("PostgreSQL", "15"), ("Redis", "7")] {
        let check = check(&report, name);
        assert_eq!((&check["status"], &check["minimum"]), (&"ok".into(), &minimum.into()), "{check}");
        assert!(check["found"].is_string());
    }
}

#[test]
fn an_old_rust_is_in_the_way_and_the_fix_is_a_command() {
    let checkout = Checkout::new();
    checkout.fake("rustc", "echo 'rustc 1.70.0 (90c541806 2023-05-31)'\n");
    let ran = checkout.xtask(&["doctor"]).expect(3).says(&["the stack cannot start: Rust", "rustup update stable"]);
    assert!(ran.stdout.contains("1.70.0"), "{}", ran.stdout);
    let report = checkout.xtask(&["doctor", "--json"]).expect(3).json();
    assert_eq!((&report["ok"], &check(&report, "Rust")["fix"][0]), (&false.into(), &"rustup update stable".into()));
}

#[test]
fn wrong_settings_are_in_the_way() {
    let checkout = Checkout::new();
    checkout.write(".env.docker", "NONSENSE\n");
    checkout.xtask(&["doctor"]).expect(3).says(&["cargo xtask env check"]);
}

#[test]
fn data_of_another_major_version_asks_for_that_version() {
    let checkout = Checkout::new();
    checkout.write(".stack/postgres/data/PG_VERSION", "9\n");
    let report = checkout.xtask(&["doctor", "--json"]).expect(3).json();
    assert_eq!(check(&report, "PostgreSQL")["minimum"], "9");
    checkout.xtask(&["clean", "--yes"]).expect(0);
}
