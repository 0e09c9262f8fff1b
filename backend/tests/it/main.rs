//! The backend against a real PostgreSQL and a real Redis, which `cargo xtask test` brings.

mod accounts;
mod api_page;
mod cleanup;
mod command;
mod drafts;
mod expand;
mod features;
mod health;
mod lists;
mod mail;
mod migrations;
mod pooler;
mod process;
mod programs;
mod rate_limit;
mod report_life;
mod reports;
mod requests;
mod resume;
mod reverts;
mod rights;
mod seed;
mod server;
mod sessions;
mod smoke;
#[path = "../support/mod.rs"]
mod support;
mod upgrades;
mod user_command;
