//! Rebuilds the crate when a migration comes or goes: `sqlx::migrate!` embeds the folder at compile time.

#![expect(clippy::disallowed_macros, reason = "a build script talks to cargo on stdout")]

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed=SQLX_OFFLINE_DIR");
}
