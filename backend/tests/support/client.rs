//! Somebody who talks to a server: nobody in particular, or a user who is signed in.

use backend::actor::Role;
use backend::connect;
use backend::request::rules::Words as _;
use backend::session::{Sessions, queries as session_queries};
use backend::users::queries::{NewUser, create};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::mailbox::Received;
use super::{Answer, Database, Server, agent, config, read};

/// A client that shows a token, or none.
pub struct Client<'a> {
    url: &'a str,
    token: Option<String>,
}

impl Client<'_> {
    pub fn get(&self, path: &str) -> Answer {
        read(self.with(agent().get(format!("{}{path}", self.url))).call())
    }

    pub fn delete(&self, path: &str) -> Answer {
        read(self.with(agent().delete(format!("{}{path}", self.url))).call())
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[])
    }

    pub fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let request = self.with(agent().post(format!("{}{path}", self.url)));
        read(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send_json(body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        read(self.with(agent().put(format!("{}{path}", self.url))).send_json(body))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.patch_with(path, body, &[])
    }

    pub fn patch_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let request = self.with(agent().patch(format!("{}{path}", self.url)));
        read(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send_json(body))
    }

    fn with<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }
}

/// An access token of an administrator, for a server that is not in this process.
pub fn admin_token(runtime: &Runtime, database: &Database, settings: &[(String, String)]) -> String {
    let config = config(settings);
    let token = async {
        let pool = connect::pool(&config)?;
        let sessions = Sessions::new(&config.signing, pool.clone(), connect::redis(&config).await?);
        let new = NewUser { handle: "the-admin", email: "the-admin@example.com", ..administrator() };
        let id = create(&pool, &new).await?;
        let mut connection = database.connect().await;
        let begun = session_queries::begin(&mut connection, sessions.hasher(), id, None, "", "").await?;
        let (session, token) = begun.expect("a user");
        anyhow::Ok(sessions.grant(id, session, &token).expect("tokens").access_token)
    };
    runtime.block_on(token).expect("a token")
}

fn administrator() -> NewUser<'static> {
    NewUser { handle: "", email: "", password_hash: Server::PASSWORD_HASH, role: Role::Admin, temporary: false }
}

/// A user who is signed in.
pub struct User {
    pub id: Uuid,
    pub session: String,
    pub access_token: String,
    pub refresh_token: String,
}

impl Server {
    /// The password of every user that [`Server::user`] makes.
    pub const PASSWORD: &str = "a password of the tests";
    const PASSWORD_HASH: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$W0uyimOKbyx84ZdeU+O6tQ$Vla2wdMszfnRBSvwZHGZzRjxyOqWc759zB9aoN5A028";

    /// Nobody in particular.
    pub fn nobody(&self) -> Client<'_> {
        Client { url: &self.url, token: None }
    }

    /// Whoever has a token.
    pub fn as_user(&self, token: &str) -> Client<'_> {
        Client { url: &self.url, token: Some(token.to_owned()) }
    }

    /// Makes a user with the address `{handle}@example.com`, and signs in.
    pub fn user(&self, handle: &str, role: &str) -> User {
        self.try_user(handle, role).expect("a user")
    }

    /// The same, where there may be no database.
    pub fn try_user(&self, handle: &str, role: &str) -> Option<User> {
        let email = format!("{handle}@example.com");
        let role = Role::from_word(role).expect("a role");
        let new = NewUser { handle, email: &email, role, ..administrator() };
        self.runtime.block_on(create(&self.app.database, &new)).ok()?;
        Some(self.sign_in(handle))
    }

    /// A user as automatic checks have them.
    pub fn temporary_user(&self, role: &str) -> User {
        let handle = format!("temporary-{role}");
        let role = Role::from_word(role).expect("a role");
        let email = format!("{handle}@temporary.invalid");
        let new = NewUser { handle: &handle, email: &email, role, temporary: true, ..administrator() };
        self.runtime.block_on(create(&self.app.database, &new)).expect("a user");
        self.sign_in(&handle)
    }

    /// Begins another session of a user.
    pub fn sign_in(&self, handle: &str) -> User {
        let begin = async {
            let mut connection = self.app.database.acquire().await?;
            let id: Uuid = sqlx::query_scalar("SELECT id FROM users WHERE handle = $1")
                .bind(handle)
                .fetch_one(&mut *connection)
                .await?;
            let hasher = self.app.sessions.hasher();
            let begun = session_queries::begin(&mut connection, hasher, id, None, "a test", "127.0.0.1").await?;
            let (session, token) = begun.expect("a user");
            Ok::<_, sqlx::Error>((id, session, token))
        };
        let (id, session, token) = self.runtime.block_on(begin).expect("a session");
        let grant = self.app.sessions.grant(id, session, &token).expect("tokens");
        User { id, session: session.to_string(), access_token: grant.access_token, refresh_token: grant.refresh_token }
    }

    /// Does something to the database.
    pub fn execute(&self, statement: impl Into<String>) {
        let statement = statement.into();
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.database.url).await.expect("a connection");
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a statement");
        });
    }

    /// A text out of the database.
    pub fn value(&self, question: &'static str) -> String {
        self.runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.database.url).await.expect("a connection");
            sqlx::query_scalar(question).fetch_one(&mut connection).await.expect("an answer")
        })
    }

    /// Lets Redis forget everything.
    pub fn forget_sessions(&self) {
        let client = redis::Client::open(self.app.config.redis.url.reveal()).expect("a Redis URL");
        let mut connection = client.get_connection().expect("Redis");
        redis::cmd("FLUSHDB").exec(&mut connection).expect("an empty Redis");
    }

    /// Waits for the newest mail to somebody.
    pub fn mail_to(&self, address: &str) -> Mail {
        let mut count = 1;
        loop {
            let mails = self.mailbox.mails(count);
            let own: Vec<&Received> = mails.iter().filter(|mail| mail.to == address).collect();
            let seen = self.read.lock().expect("nobody panics with it").get(address).copied().unwrap_or_default();
            if own.len() > seen {
                self.read.lock().expect("nobody panics with it").insert(address.to_owned(), own.len());
                return Mail { text: decoded(&own[own.len() - 1].data) };
            }
            count = mails.len() + 1;
        }
    }

    /// The token in the newest mail to somebody.
    pub fn mail_token(&self, address: &str) -> String {
        Self::token_in(&self.mail_to(address).text).to_owned()
    }

    /// The token in a mail.
    pub fn token_in(text: &str) -> &str {
        let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_');
        words.rfind(|word| word.len() == 43).unwrap_or_else(|| panic!("no token in {text}"))
    }
}

/// A mail as somebody reads it.
pub struct Mail {
    pub text: String,
}

/// Undoes quoted-printable (RFC 2045 §6.7), as far as plain text needs it.
fn decoded(data: &str) -> String {
    data.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=")
}
