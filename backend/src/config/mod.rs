//! Settings: declared once, read from the environment, all checked at start.
//!
//! A setting stands in one place: a line in the group of its concern, with its name, default, description and rule.
//! [`Config::SETTINGS`] is what `thunder config --json` prints and what the environment template and the reference page
//! are checked against. [`Config::from_environment`] reports every wrong or missing setting in one error, by name and
//! never by value.

mod logs;
mod mail;
mod process;
mod rate_limit;
mod secrets;
mod setting;
mod stores;
mod web;

use std::fmt;

pub use self::logs::{LogFormat, LogSettings};
pub use self::mail::{MailSettings, SmtpServer, SmtpTls};
pub use self::process::{Environment, ProcessSettings};
pub use self::rate_limit::RateLimitSettings;
pub use self::secrets::{OperatorSettings, SigningSettings};
use self::setting::Reader;
pub use self::setting::{Secret, Setting, SettingProblem};
pub use self::stores::{DatabaseSettings, MigrationSettings, RedisSettings};
pub use self::web::{ListenSettings, OriginSettings};

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// PostgreSQL.
    pub database: DatabaseSettings,
    /// Redis.
    pub redis: RedisSettings,
    /// What tokens are signed with.
    pub signing: SigningSettings,
    /// The address to listen on.
    pub listen: ListenSettings,
    /// The life of the process.
    pub process: ProcessSettings,
    /// Logging.
    pub logs: LogSettings,
    /// The pages that may call the API.
    pub origins: OriginSettings,
    /// How migrations are applied.
    pub migrations: MigrationSettings,
    /// What those who operate the service show to it.
    pub operator: OperatorSettings,
    /// How mail is sent.
    pub mail: MailSettings,
    /// How much one client may ask for.
    pub rate_limit: RateLimitSettings,
}

/// The groups, in the order in which a person would want to read them.
const GROUPS: [&[Setting]; 11] = [
    DatabaseSettings::SETTINGS,
    RedisSettings::SETTINGS,
    SigningSettings::SETTINGS,
    ListenSettings::SETTINGS,
    ProcessSettings::SETTINGS,
    LogSettings::SETTINGS,
    OriginSettings::SETTINGS,
    MigrationSettings::SETTINGS,
    OperatorSettings::SETTINGS,
    MailSettings::SETTINGS,
    RateLimitSettings::SETTINGS,
];

impl Config {
    /// Every setting that the server knows.
    pub fn settings() -> Vec<Setting> {
        GROUPS.concat()
    }

    /// Whether the process is in front of customers.
    pub fn is_production(&self) -> bool {
        self.process.environment == Environment::Production
    }

    /// The settings of this process.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// The settings that `lookup` knows; an empty value counts as unset, as platforms store it that way.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader { lookup: &lookup, problems: Vec::new() };
        // Every group is read before any of them is asked for: a problem in one hides none in another.
        let database = DatabaseSettings::read(&mut reader);
        let redis = RedisSettings::read(&mut reader);
        let signing = SigningSettings::read(&mut reader);
        let listen = ListenSettings::read(&mut reader);
        let process = ProcessSettings::read(&mut reader);
        let logs = LogSettings::read(&mut reader);
        let origins = OriginSettings::read(&mut reader);
        let migrations = MigrationSettings::read(&mut reader);
        let operator = OperatorSettings::read(&mut reader);
        let mail = MailSettings::read(&mut reader);
        let rate_limit = RateLimitSettings::read(&mut reader);
        check_as_a_whole(&mut reader);
        let config = (|| {
            Some(Self {
                database: database?,
                redis: redis?,
                signing: signing?,
                listen: listen?,
                process: process?,
                logs: logs?,
                origins: origins?,
                migrations: migrations?,
                operator: operator?,
                mail: mail?,
                rate_limit: rate_limit?,
            })
        })();
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems: reader.problems }),
        }
    }
}

/// The rules that more than one setting has a part in.
fn check_as_a_whole(reader: &mut Reader<'_>) {
    if reader.find("JWT_SECRET").is_some() && reader.find("JWT_SECRET") == reader.find("JWT_REFRESH_SECRET") {
        reader.problem("JWT_REFRESH_SECRET", "must not be the same as JWT_SECRET");
    }
    if reader.find("APP_ENV").is_none_or(|environment| environment != "production") {
        return;
    }
    for setting in Config::settings().iter().filter(|setting| setting.required_in_production) {
        if reader.find(setting.name).is_none() {
            reader.problem(setting.name, "is not set, and production requires it");
        }
    }
    if let Some(Err(problem)) = reader.find("HEALTH_TOKEN").map(|token| secrets::long(&token)) {
        reader.problem("HEALTH_TOKEN", problem);
    }
    if reader.find("MIGRATION_DRAFTS").is_some() {
        reader.problem("MIGRATION_DRAFTS", "must not be set in production");
    }
}

/// Every setting that is wrong or missing, by name.
#[derive(Debug)]
pub struct ConfigError {
    /// In the order of the declaration, and then those that contradict others.
    pub problems: Vec<SettingProblem>,
}

impl ConfigError {
    /// The names of the settings that need attention.
    pub fn names(&self) -> Vec<&'static str> {
        self.problems.iter().map(|problem| problem.name).collect()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{count} {} wrong or missing:", if count == 1 { "setting is" } else { "settings are" })?;
        for SettingProblem { name, problem } in &self.problems {
            write!(f, "\n  {name} {problem}")?;
        }
        write!(f, "\n`thunder config` describes every setting.")
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use tracing::Level;
    use tracing::level_filters::LevelFilter;

    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("DATABASE_URL", "postgres://thunder:hunter2hunter2@127.0.0.1:5432/thunder"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:6379"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("JWT_REFRESH_SECRET", "fedcba9876543210fedcba9876543210"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|name| {
            changes.iter().chain(GOOD).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_required_settings_are_enough() {
        let config = read(&[]).unwrap();
        assert_eq!(config.listen.port, 3000);
        assert_eq!(config.listen.host, "::".parse::<IpAddr>().unwrap());
        assert_eq!(config.process.shutdown_timeout, Duration::from_secs(10));
        assert_eq!(config.database.max_connections, 5);
        assert!(config.origins.allowed().is_empty());
    }

    #[test]
    fn everything_wrong_is_reported_at_once_and_by_name() {
        let error = read(&[
            ("DATABASE_URL", "mysql://root:hunter2@db/thunder"),
            ("REDIS_URL", ""),
            ("JWT_SECRET", "hunter2"),
            ("PORT", "70000"),
            ("SHUTDOWN_TIMEOUT", "soon"),
        ])
        .unwrap_err();
        assert_eq!(error.names(), ["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "PORT", "SHUTDOWN_TIMEOUT"]);
    }

    #[test]
    fn no_value_appears_in_the_error_or_in_a_debug_print() {
        let error = read(&[
            ("DATABASE_URL", "postgres://thunder:hunter2@[/thunder"),
            ("REDIS_URL", "redis://:hunter2@["),
            ("JWT_SECRET", "hunter2"),
            ("LOG_FORMAT", "hunter2"),
            ("SMTP_URL", "smtp://u:hunter2@mail.example"),
        ])
        .unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let with_mail = read(&[("SMTP_URL", "smtps://u:hunter2@mail.example")]).unwrap();
        assert!(!format!("{with_mail:?}").contains("hunter2"));
    }

    #[test]
    fn the_two_signing_secrets_must_differ() {
        let error = read(&[("JWT_REFRESH_SECRET", GOOD[2].1)]).unwrap_err();
        assert_eq!(error.names(), ["JWT_REFRESH_SECRET"]);
    }

    #[test]
    fn a_url_that_says_that_it_is_a_transaction_pooler_is_refused() {
        let url = "postgres://u:p@h:5432/d?pgbouncer=true";
        assert_eq!(read(&[("DATABASE_URL", url)]).unwrap_err().names(), ["DATABASE_URL"]);
    }

    #[test]
    fn a_rate_limit_lets_something_through() {
        assert_eq!(read(&[]).unwrap().rate_limit.requests, 600);
        for wrong in ["0", "-1", "many", "1000000001"] {
            assert_eq!(read(&[("RATE_LIMIT_MAX", wrong)]).unwrap_err().names(), ["RATE_LIMIT_MAX"], "{wrong}");
        }
    }

    #[test]
    fn origins_are_origins_and_not_urls() {
        let config = read(&[
            ("ALLOWED_ORIGINS", "https://a.example.com, http://localhost:5173"),
            ("FRONTEND_URL", "https://a.example.com/sign-in"),
        ])
        .unwrap();
        assert_eq!(config.origins.allowed(), ["http://localhost:5173", "https://a.example.com"]);
        for wrong in ["https://a.example.com/", "https://a.example.com/x", "a.example.com", "*", "https://u@a.example"]
        {
            assert_eq!(read(&[("ALLOWED_ORIGINS", wrong)]).unwrap_err().names(), ["ALLOWED_ORIGINS"], "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_kept_in_the_form_that_browsers_send() {
        let config = read(&[
            ("ALLOWED_ORIGINS", "https://A.Example.com:443, http://b.example:80, https://c.example:8443"),
            ("FRONTEND_URL", "HTTPS://D.example:443/x"),
        ])
        .unwrap();
        let expected = ["http://b.example", "https://a.example.com", "https://c.example:8443", "https://d.example"];
        assert_eq!(config.origins.allowed(), expected);
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_instead_of_silencing_everything() {
        for good in ["warn", "INFO", "off", "info,backend=debug,sqlx=warn", "info, hyper=error"] {
            assert!(read(&[("LOG_LEVEL", good)]).is_ok(), "{good}");
        }
        for wrong in ["warning", "verbose", "info,warning", "backend=loud", "=info", "3", "info,"] {
            assert_eq!(read(&[("LOG_LEVEL", wrong)]).unwrap_err().names(), ["LOG_LEVEL"], "{wrong}");
        }
    }

    #[test]
    fn notices_of_the_database_are_logged_only_where_somebody_names_them() {
        let named = "info,sqlx::postgres::notice=info";
        for (level, most) in [
            ("off", LevelFilter::OFF),
            ("error", LevelFilter::ERROR),
            ("info", LevelFilter::WARN),
            ("debug", LevelFilter::WARN),
            (named, LevelFilter::INFO),
        ] {
            let filter = read(&[("LOG_LEVEL", level)]).unwrap().logs.filter;
            for of in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG] {
                assert_eq!(filter.would_enable("sqlx::postgres::notice", &of), of <= most, "{level}: {of}");
            }
        }
    }

    #[test]
    fn production_requires_a_long_health_token_and_a_mail_server_even_when_something_else_is_wrong() {
        let production = [("APP_ENV", "production"), ("SMTP_URL", "smtps://mail.example")];
        for token in ["", "too short"] {
            let changes = [production[0], production[1], ("HEALTH_TOKEN", token), ("SHUTDOWN_TIMEOUT", "soon")];
            assert_eq!(read(&changes).unwrap_err().names(), ["SHUTDOWN_TIMEOUT", "HEALTH_TOKEN"], "{token}");
        }
        let token = ("HEALTH_TOKEN", GOOD[2].1);
        assert!(read(&[production[0], production[1], token]).is_ok());
        assert_eq!(read(&[production[0], token]).unwrap_err().names(), ["SMTP_URL"]);
        assert!(read(&[("HEALTH_TOKEN", "short")]).is_ok(), "anything will do while developing");
    }

    #[test]
    fn every_default_is_one_that_the_setting_accepts() {
        let settings = Config::settings();
        let defaults: Vec<(&str, &str)> =
            settings.iter().filter_map(|setting| Some((setting.name, setting.default?))).collect();
        read(&defaults).unwrap();
    }

    #[test]
    fn every_setting_is_described_by_a_sentence_of_its_own() {
        let settings = Config::settings();
        for setting in &settings {
            let is_sentence = setting.description.ends_with('.') && !setting.description.starts_with(' ');
            assert!(is_sentence, "{setting:?}");
            assert_eq!(settings.iter().filter(|other| other.name == setting.name).count(), 1, "{}", setting.name);
        }
    }
}
