//! Whoever walks through the service: what they send, and what they made.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;
use uuid::Uuid;

use crate::config::Secret;

/// What a client knows after an answer.
pub struct Answer {
    pub status: u16,
    headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).with_context(|| format!("status {} without JSON", self.status))
    }

    /// The same answer, if it has this status.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "status {} instead of {status}: {}", self.status, self.text.trim());
        Ok(self)
    }

    /// A header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A temporary user.
#[derive(Debug, Clone, Default)]
pub struct User {
    pub id: String,
    pub access_token: String,
    pub refresh_token: String,
}

/// Who makes a request.
#[derive(Debug, Clone, Copy)]
pub enum As<'a> {
    Nobody,
    Operator,
    User(&'a User),
}

pub struct Client {
    agent: Agent,
    base: String,
    token: Option<Secret>,
    /// The slug of the program that the walk keeps to.
    pub program: String,
    /// Whether it may be there by now.
    pub has_program: bool,
    /// Ids of the reports that this walk sent.
    pub sent: Vec<String>,
    /// Whoever sends reports, and whoever triages them.
    pub researcher: Option<User>,
    pub triager: Option<User>,
}

impl Client {
    pub fn new(url: &str, token: Option<&Secret>, timeout: Duration) -> Self {
        // This machine is not reached through a proxy, whatever the environment says.
        let is_local = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|start| url.starts_with(start));
        let config = Agent::config_builder();
        let config = if is_local { config.proxy(None) } else { config };
        let agent = config
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .user_agent(concat!("thunder-smoke/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            base: url.trim_end_matches('/').to_owned(),
            token: token.cloned(),
            program: format!("smoke-{}", Uuid::new_v4().simple()),
            has_program: false,
            sent: Vec::new(),
            researcher: None,
            triager: None,
        }
    }

    /// Whether there is a token that lets somebody sign in. Where the service has none, everybody is an operator, which the
    /// first check behind the sign-in finds out.
    pub fn can_sign_in(&self) -> bool {
        self.token.is_some()
    }

    pub fn researcher(&self) -> Result<&User> {
        self.researcher.as_ref().context("no researcher is signed in")
    }

    pub fn triager(&self) -> Result<&User> {
        self.triager.as_ref().context("no triager is signed in")
    }

    pub fn get(&self, who: As<'_>, path: &str) -> Result<Answer> {
        self.get_with(who, path, None)
    }

    pub fn get_with(&self, who: As<'_>, path: &str, id: Option<&str>) -> Result<Answer> {
        let mut request = self.with(who, self.agent.get(format!("{}{path}", self.base)));
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        read(request.call()).with_context(|| format!("GET {path}"))
    }

    pub fn delete(&self, who: As<'_>, path: &str) -> Result<Answer> {
        read(self.with(who, self.agent.delete(format!("{}{path}", self.base))).call())
            .with_context(|| format!("DELETE {path}"))
    }

    pub fn post(&self, who: As<'_>, path: &str, body: &Value) -> Result<Answer> {
        read(self.with(who, self.agent.post(format!("{}{path}", self.base))).send_json(body))
            .with_context(|| format!("POST {path}"))
    }

    fn with<B>(&self, who: As<'_>, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        let token = match who {
            As::Nobody => None,
            As::Operator => self.token.as_ref().map(Secret::reveal),
            As::User(user) => Some(user.access_token.as_str()),
        };
        match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }
}

fn read(answer: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut answer = answer?;
    let text = answer.body_mut().read_to_string()?;
    Ok(Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), text })
}
