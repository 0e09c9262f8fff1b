//! All that is particular to Thunder: its names, ports, settings, paths, endpoints and images.
//!
//! Another backend moves in by changing this file, the compose files, the settings' template and the backend's crate;
//! `docs/adopting.md` says how.

/// The product's name, for people.
pub const NAME: &str = "Thunder";
/// The product's name, for folders, files, containers and images.
pub const SLUG: &str = "thunder";
/// The package that the backend is built from.
pub const PACKAGE: &str = "backend";
/// The backend's binary.
pub const BINARY: &str = "thunder";

/// The role that owns the database.
pub const ROLE: &str = "thunder";
/// The database of the local stack.
pub const DATABASE: &str = "thunder";
/// The database that tests copy: migrated once, with nothing in it.
pub const TEMPLATE_DATABASE: &str = "thunder_template";
/// The oldest PostgreSQL that the backend runs on; production has this one.
pub const POSTGRES_MINIMUM: u32 = 15;
/// The oldest Redis that the backend runs on.
pub const REDIS_MINIMUM: u32 = 7;

/// Where the backend says whether it is healthy.
pub const HEALTH_PATH: &str = "/health";
/// A page that lists what was stored, for a check that data is kept; and a word that demo data has in it.
pub const STORED: (&str, &str) = ("/api/v1/programs?limit=50", "\"slug\"");
/// A handler to edit when reloads are measured: its file, and what stands there for the version in its answer.
pub const HANDLER: (&str, &str) = ("backend/src/health/mod.rs", "env!(\"CARGO_PKG_VERSION\")");

/// What another product changes, and nothing else.
pub const REPLACED: &[&str] = &["backend", "infra", ".env.docker.example", "xtask/src/product.rs"];

/// What the backend is made of: a change in one of these, or below, is worth a build.
pub const SOURCES: &[&str] = &["backend", "Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml"];
/// What lies among it and is not in the binary.
pub const NOT_BUILT: &[&str] = &["backend/tests", "backend/benches", SCHEMA];
/// The migrations, which are built into the binary.
pub const MIGRATIONS: &str = "backend/migrations";
/// What the migrations add up to.
pub const SCHEMA: &str = "backend/schema.sql";
/// Where dumps of the database lie.
pub const DUMPS: &str = "dumps";
/// What the demo data is made from.
pub const SEED: &[&str] = &["backend/src/seed.rs", "backend/seeds/demo.json"];
/// The table that `seed --reports` fills, and which of its rows it has made.
pub const COPY_BY_HAND: (&str, &str) = ("reports", "reporter LIKE 'load-%'");
/// Migrations before this version were applied before anything linted them.
pub const LINTED_SINCE: u64 = 20_261_125_000_000;
/// What the queries were checked against.
pub const QUERY_METADATA: &str = "backend/.sqlx";

/// The image that the backend is built in.
pub const RUST_IMAGE: &str = "rust:1.95-slim-bookworm";
/// PostgreSQL's image. Debian's: its collations are those of managed PostgreSQL.
pub const POSTGRES_IMAGE: &str = "postgres:15-bookworm";
/// Redis' image.
pub const REDIS_IMAGE: &str = "redis:7-bookworm";
/// The mail catcher's image, of the version that the host engine has pinned.
pub const MAIL_IMAGE: &str = "maildev/maildev:2.2.1";
/// Where the backend listens inside of its container.
pub const CONTAINER_URL: &str = "http://127.0.0.1:3000";
/// The port of that.
pub const CONTAINER_PORT: u16 = 3000;
/// Where the volumes are that the backend is built in, inside of its container; the name of the first.
pub const CONTAINER_VOLUMES: (&[&str], &str) = (&["/target", "/usr/local/cargo/registry"], "target");
/// Where the watcher inside of the container keeps what it knows.
pub const CONTAINER_WATCH: &str = "/target/watch";
/// What the container runs instead of the watcher.
pub const UNWATCHED: &str = "cargo run --quiet --locked --package backend --bin thunder -- serve";
/// The variable of the compose file that names the image which ships.
pub const IMAGE_VARIABLE: &str = "THUNDER_IMAGE";

/// The shared variable of an environment that says who is deploying to it.
pub const DEPLOY_LOCK: &str = "THUNDER_DEPLOY_LOCK";
/// The shared variable of an environment that says what was released to it.
pub const RELEASES: &str = "THUNDER_RELEASES";
/// The shared variable that every preview environment has, and no other.
pub const PREVIEW: &str = "THUNDER_PREVIEW";
/// The environment whose name has to be typed before it is changed.
pub const PRODUCTION: &str = "production";
/// Where the builder of a platform finds the commit, which it is told by nothing else.
pub const COMMIT_FILE: &str = "backend/COMMIT";
/// What says which files an image is made from.
pub const IMAGE_FILES: &str = ".dockerignore";

/// The settings that the stack itself knows.
pub mod setting {
    /// Where the database is.
    pub const DATABASE_URL: &str = "DATABASE_URL";
    /// Where Redis is.
    pub const REDIS_URL: &str = "REDIS_URL";
    /// The address that the backend listens on.
    pub const HOST: &str = "HOST";
    /// The port that the backend listens on.
    pub const PORT: &str = "PORT";
    /// Where the backend runs.
    pub const APP_ENV: &str = "APP_ENV";
    /// The value of that on the local stack.
    pub const APP_ENV_LOCAL: &str = "development";
    /// Lets the backend migrate by itself when it starts.
    pub const RUN_MIGRATIONS: &str = "RUN_MIGRATIONS";
    /// The migrations that may be applied again when they change.
    pub const MIGRATION_DRAFTS: &str = "MIGRATION_DRAFTS";
    /// Seconds that the backend gives its requests to finish.
    pub const SHUTDOWN_TIMEOUT: &str = "SHUTDOWN_TIMEOUT";
    /// A setting that only changes what is logged, and two of its values.
    pub const HARMLESS: (&str, [&str; 2]) = ("LOG_LEVEL", ["info", "warn"]);

    /// The password of the database role.
    pub const POSTGRES_PASSWORD: &str = "POSTGRES_PASSWORD";
    /// The password of Redis.
    pub const REDIS_PASSWORD: &str = "REDIS_PASSWORD";
    /// The same two, as a URL in a compose file can hold them.
    pub const PASSWORDS_IN_URLS: [(&str, &str); 2] =
        [(POSTGRES_PASSWORD, "POSTGRES_PASSWORD_IN_URL"), (REDIS_PASSWORD, "REDIS_PASSWORD_IN_URL")];
    /// Whether the watcher looks at intervals instead of being told by the system.
    pub const WATCH_POLL: &str = "WATCH_POLL";
    /// The port of the backend, of PostgreSQL, of Redis and of the mail catcher's page, that are asked for first.
    pub const PORTS: [&str; 4] = ["BACKEND_PORT", "POSTGRES_PORT", "REDIS_PORT", "MAIL_PORT"];
    /// The server that takes the backend's mail.
    pub const SMTP_URL: &str = "SMTP_URL";

    /// What the backend needs besides addresses, of which each stack makes values of its own.
    pub const GENERATED: &[&str] = &["JWT_SECRET", "JWT_REFRESH_SECRET", "HEALTH_TOKEN"];
    /// What a walk through a service shows to sign in as users that it makes.
    pub const OPERATOR_TOKEN: &str = "HEALTH_TOKEN";
    /// What the shipped image requires as well, with a value for where it is only tried: nobody takes mail there.
    pub const FOR_A_TRY: &[(&str, &str)] = &[(SMTP_URL, "smtp://localhost:25")];
    /// How many proxies stand in front. Where it is wrong, all clients have one address.
    pub const PROXIES: &str = "TRUST_PROXY";
    /// Settings and their values that let one client ask without a pause.
    pub const UNLIMITED: &[(&str, &str)] = &[("RATE_LIMIT_MAX", "1000000000"), ("RATE_LIMIT_PASSWORDS", "1000000000")];
    /// What the stack sets for the backend, which is why the template has none of it.
    pub const SET_BY_THE_STACK: &[&str] =
        &[DATABASE_URL, REDIS_URL, HOST, PORT, APP_ENV, RUN_MIGRATIONS, MIGRATION_DRAFTS];
    /// What the template has for the stack alone.
    pub const FOR_THE_STACK: &[&str] =
        &[POSTGRES_PASSWORD, REDIS_PASSWORD, WATCH_POLL, PORTS[0], PORTS[1], PORTS[2], PORTS[3]];
    /// Which of those must not be shown.
    pub const SECRETS_OF_THE_STACK: &[&str] = &[POSTGRES_PASSWORD, REDIS_PASSWORD];
}

/// The backend's own declaration of its settings: what `thunder config --json` prints, kept fresh by `check`.
pub const DECLARATION: &str = include_str!("../../backend/settings.json");
