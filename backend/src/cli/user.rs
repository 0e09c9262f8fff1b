//! `thunder user`.

use std::io::Read as _;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use super::connected::connected;
use super::output;
use crate::actor::Role;
use crate::config::Config;
use crate::migrations;
use crate::password::Passwords;
use crate::request::rules::Words as _;
use crate::session::Token;
use crate::users::queries::{NewUser, claim, create};
use crate::users::{email, handle, password};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a user whose address counts as confirmed, or give an account without an address to its person
    ///
    /// Prints the password that the user signs in with first, unless it comes by stdin.
    Add {
        /// What others call the user: 2 to 39 of a-z, 0-9, - and _
        #[arg(long)]
        handle: String,
        /// Where mail goes
        #[arg(long)]
        email: String,
        /// researcher, triager or admin
        #[arg(long, default_value = "researcher", value_parser = role)]
        role: Role,
        /// Read the password from stdin, so that it stands in no list of processes
        #[arg(long)]
        password_stdin: bool,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_word(text).ok_or_else(Role::expected)
}

pub fn run(arguments: Arguments) -> Result<()> {
    let Command::Add { handle: name, email: address, role, password_stdin } = arguments.command;
    let config = Config::from_environment()?;
    let address = address.to_ascii_lowercase();
    handle(&name).map_err(|problem| anyhow::anyhow!("--handle {problem}"))?;
    email(&address).map_err(|problem| anyhow::anyhow!("--email {problem}"))?;
    let given = password_stdin.then(from_stdin).transpose()?;
    let secret = given.clone().unwrap_or_else(|| Token::random().text());
    let claimed = connected(&config, async |connection| {
        migrations::require_all(connection).await?;
        let hash = Passwords::default().hash(secret.clone()).await;
        let password_hash = &hash.map_err(|_| anyhow::anyhow!("the password cannot be hashed"))?;
        let new = NewUser { handle: &name, email: &address, password_hash, role, temporary: false };
        let claimed = claim(&mut *connection, &new).await?;
        if !claimed {
            create(connection, &new).await?;
        }
        anyhow::Ok(claimed)
    })?;
    let what = if claimed { "is the account of" } else { "was made for" };
    let secret = if given.is_some() { String::new() } else { format!("\npassword: {secret}") };
    output::text(&format!("{name} {what} {address}{secret}\n"))
}

fn from_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().take(4096).read_to_string(&mut text).context("the password cannot be read from stdin")?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    let problem = password(&text).err();
    ensure!(problem.is_none(), "the password {}", problem.unwrap_or_default());
    Ok(text)
}
