//! `Idempotency-Key`: a creation that is sent again because its answer was lost gets the same answer, and is done once
//! (draft-ietf-httpapi-idempotency-key-header).

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::digest;
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::request::{Input, body};

const HEADER: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const HOURS: i32 = 24;

/// A body that asks to make something, and what its client calls the request.
#[derive(Debug)]
pub struct Creation<T> {
    /// What is to be made.
    pub new: T,
    /// What tells the request from others, if it may come again.
    pub key: Option<Key>,
}

/// What a client calls a request, and SHA-256 of what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    name: String,
    hash: Vec<u8>,
}

impl<T: Input> FromRequest<App> for Creation<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let name = name(request.headers())?;
        let route = request.uri().path().to_owned();
        let hash = |bytes: &[u8]| name.map(|name| Key { name, hash: hash(&route, bytes) });
        body(request, app, hash).await.map(|(new, key)| Self { new, key })
    }
}

fn name(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(name) = given.next() else { return Ok(None) };
    let is_one = given.next().is_none();
    let name = name.to_str().ok().filter(|name| (1..=255).contains(&name.len()) && is_one);
    let detail = "`Idempotency-Key` has to be there once, with 1 to 255 characters of ASCII.";
    name.map(|name| Some(name.to_owned())).ok_or_else(|| Problem::from(Kind::BadRequest).detail(detail))
}

fn hash(route: &str, body: &[u8]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [route.as_bytes(), &[0], body] {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// The answer to a creation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    location: String,
    etag: Option<HeaderValue>,
    body: String,
    is_replayed: bool,
}

impl Created {
    /// What was made, and where it is.
    pub fn new(location: String, etag: Option<HeaderValue>, made: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_string(made).map_err(|error| Problem::internal(&error))?;
        Ok(Self { location, etag, body, is_replayed: false })
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = (StatusCode::CREATED, [(header::CONTENT_TYPE, json)], self.body).into_response();
        let headers = response.headers_mut();
        if let Ok(location) = HeaderValue::from_str(&self.location) {
            headers.insert(header::LOCATION, location);
        }
        if let Some(etag) = self.etag {
            headers.insert(header::ETAG, etag);
        }
        if self.is_replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// Makes something in a transaction of its own. A request with a key that was answered before gets that answer, and nothing
/// is made again.
pub async fn once(
    database: &PgPool,
    user: Uuid,
    key: Option<Key>,
    make: impl AsyncFnOnce(&mut PgConnection) -> Result<Created, Problem>,
) -> Result<Created, Problem> {
    let mut transaction = database.begin().await?;
    if let Some(key) = &key
        && let Some(before) = begin(&mut transaction, user, key).await?
    {
        return Ok(before);
    }
    let created = make(&mut transaction).await?;
    if let Some(key) = &key {
        finish(&mut *transaction, user, key, &created).await?;
    }
    transaction.commit().await?;
    Ok(created)
}

/// Takes a key for a request, in the transaction that does it; gives back the answer where it was done before. Of two at
/// once, the second one waits for the first.
async fn begin(connection: &mut PgConnection, user: Uuid, key: &Key) -> Result<Option<Created>, Problem> {
    sqlx::query!(
        "DELETE FROM idempotency_keys
         WHERE user_id = $1 AND key = $2 AND created_at < now() - make_interval(hours => $3)",
        user,
        key.name,
        HOURS,
    )
    .execute(&mut *connection)
    .await?;
    let taken = sqlx::query!(
        "INSERT INTO idempotency_keys (user_id, key, request_hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        user,
        key.name,
        key.hash,
    )
    .execute(&mut *connection)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(None);
    }
    let before = sqlx::query!(
        r#"SELECT request_hash, coalesce(location, '') AS "location!", etag, coalesce(body, '') AS "body!"
           FROM idempotency_keys WHERE user_id = $1 AND key = $2"#,
        user,
        key.name,
    )
    .fetch_one(connection)
    .await?;
    if before.request_hash != key.hash {
        return Err(Kind::IdempotencyKeyReused.into());
    }
    let etag = before.etag.and_then(|etag| HeaderValue::try_from(etag).ok());
    Ok(Some(Created { location: before.location, etag, body: before.body, is_replayed: true }))
}

/// Keeps the answer for whoever sends the request again.
async fn finish(database: impl PgExecutor<'_>, user: Uuid, key: &Key, created: &Created) -> Result<(), Problem> {
    sqlx::query!(
        "UPDATE idempotency_keys SET location = $3, body = $4, etag = $5 WHERE user_id = $1 AND key = $2",
        user,
        key.name,
        created.location,
        created.body,
        created.etag.as_ref().and_then(|etag| etag.to_str().ok()),
    )
    .execute(database)
    .await?;
    Ok(())
}
