//! What must not ship, each thing by itself.

use super::*;

fn description(config: &str) -> Description {
    serde_json::from_str(&format!(r#"{{"Size":9000000,"Config":{config}}}"#)).unwrap()
}

const GOOD: &str = r#"{"User":"65532:65532","StopSignal":"SIGTERM","Healthcheck":{"Test":["CMD","x"]},
    "Env":["PORT=3000"],"Labels":{"org.opencontainers.image.title":"t","org.opencontainers.image.licenses":"MIT",
    "org.opencontainers.image.version":"1","org.opencontainers.image.revision":"abc"}}"#;

fn violations_of(description: &Description, history: &str, secrets: &[&str]) -> Vec<String> {
    violations(description, &[Layer { made_by: history.to_owned(), size: 1 }], &[], secrets).unwrap()
}

#[test]
fn an_image_as_it_should_be_has_nothing_wrong() {
    assert!(violations_of(&description(GOOD), "COPY /image /", &["hunter2hunter2"]).is_empty());
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut bad = description(r#"{"User":"root"}"#);
    bad.size = MAXIMUM_BYTES + 1;
    let found = violations_of(&bad, "x", &[]);
    for word in ["bytes", "root", "health check", "SIGTERM", "title", "licenses", "version", "revision"] {
        assert!(found.iter().any(|line| line.contains(word)), "{word}: {found:?}");
    }
    assert!(violations_of(&description(r#"{"User":"0:0"}"#), "x", &[]).iter().any(|line| line.contains("root")));
}

#[test]
fn secrets_in_environment_and_history_are_found_and_not_repeated() {
    let with = description(&GOOD.replace("PORT=3000", "JWT_SECRET=hunter2hunter2"));
    assert_eq!(violations_of(&with, "x", &[]), ["the environment holds JWT_SECRET"]);
    let hidden = description(&GOOD.replace("PORT=3000", "NOTE=hunter2hunter2"));
    assert_eq!(violations_of(&hidden, "x", &["hunter2hunter2"]), ["the environment holds a secret in NOTE"]);
    let found = violations_of(&description(GOOD), "RUN curl -H ghp_0123456789abcdefghijABCDEFGHIJ0123456789", &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("the history holds an access token"));
}

#[test]
fn files_are_told_by_their_names() {
    for name in ["/bin/sh", "/usr/bin/apt-get", "/app/.env", "/.env.docker", "/home/x/.ssh/id_rsa", "/tls/server.key"] {
        assert!(of_name(name).is_some(), "{name}");
    }
    for name in ["/usr/local/bin/app", "/etc/ssl/certs/ca-certificates.crt", "/etc/passwd", "/share/sh"] {
        assert!(of_name(name).is_none(), "{name}");
    }
}

#[test]
fn a_key_is_a_key_and_the_words_of_a_parser_are_none() {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj".repeat(2));
    assert_eq!(secrets_in(key.as_bytes(), &[]), ["a private key"]);
    assert!(secrets_in(b"-----BEGIN PRIVATE KEY-----\n\0\0\0expected base64", &[]).is_empty());
}

#[test]
fn every_token_of_a_known_service_is_found_whole_and_not_by_its_first_letters() {
    for (start, length) in TOKENS {
        let token = format!("{start}{}", "a1B2".repeat(length.div_ceil(4)).get(..*length).unwrap());
        assert_eq!(secrets_in(format!("x {token}\n").as_bytes(), &[]), ["an access token"], "{token}");
        let cut = &token[..token.len() - 1];
        assert!(secrets_in(cut.as_bytes(), &[]).is_empty(), "{cut} at the end");
        assert!(secrets_in(format!("{cut}-x").as_bytes(), &[]).is_empty(), "{cut} with something else behind it");
    }
}

#[test]
fn only_secrets_that_are_long_enough_to_be_no_chance_are_looked_for() {
    assert_eq!(secrets_in(b"a 12345678 b", &["12345678"]), ["a secret of .env.docker"]);
    assert!(secrets_in(b"a 1234567 b", &["1234567"]).is_empty());
    assert!(secrets_in(b"", &["12345678"]).is_empty());
}

#[test]
fn a_key_is_found_with_either_kind_of_line_end_and_not_when_it_is_cut() {
    let lines = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj";
    let key = |end: &str| secrets_in(format!("-----BEGIN RSA PRIVATE KEY-----{end}{lines}{end}").as_bytes(), &[]);
    assert_eq!((key("\n"), key("\r\n")), (vec!["a private key"], vec!["a private key"]));
    assert!(secrets_in(b"-----BEGIN PRIVATE KEY-----\nMIIE", &[]).is_empty());
    assert!(secrets_in(b"-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj", &[]).is_empty());
}

#[test]
fn each_thing_that_an_image_must_be_is_asked_for_by_itself() {
    let label = |name: &str| format!("org.opencontainers.image.{name}");
    let mut cases = vec![
        ("65532:65532".to_owned(), String::new(), "it runs as root".to_owned()),
        ("65532:65532".to_owned(), "root:staff".to_owned(), "it runs as root".to_owned()),
        ("SIGTERM".to_owned(), String::new(), "it does not name SIGTERM as its stop signal".to_owned()),
        ("SIGTERM".to_owned(), "SIGKILL".to_owned(), "it does not name SIGTERM as its stop signal".to_owned()),
        (r#"{"Test":["CMD","x"]}"#.to_owned(), "null".to_owned(), "it has no health check".to_owned()),
    ];
    for name in ["title", "licenses", "version", "revision"] {
        cases.push((label(name), format!("other.{name}"), format!("it has no label {}", label(name))));
    }
    for (part, instead, found) in cases {
        let config = GOOD.replace(&part, &instead);
        assert_ne!(config, GOOD, "{part}");
        assert_eq!(violations_of(&description(&config), "x", &[]), [found]);
    }
    let empty = GOOD.replace(r#"revision":"abc""#, r#"revision":"""#);
    assert_eq!(violations_of(&description(&empty), "x", &[]), ["it has no label org.opencontainers.image.revision"]);
    assert_eq!(violations_of(&description(&GOOD.replace(r#""65532:65532""#, r#""app""#)), "x", &[]), [""; 0]);
}

#[test]
fn the_size_may_be_the_most_and_no_byte_more() {
    let mut large = description(GOOD);
    large.size = MAXIMUM_BYTES;
    assert!(violations_of(&large, "x", &[]).is_empty());
    large.size += 1;
    assert_eq!(violations_of(&large, "x", &[]), ["it has 15000001 bytes; 15000000 is the most"]);
}

#[test]
fn a_variable_without_a_value_gives_nothing_away() {
    for variable in ["JWT_SECRET=", "JWT_SECRET", "DATABASE_URL="] {
        let with = description(&GOOD.replace("PORT=3000", variable));
        assert!(violations_of(&with, "x", &[]).is_empty(), "{variable}");
    }
}

#[test]
fn every_tool_key_and_secret_file_is_told_wherever_it_lies() {
    for tool in TOOLS {
        for folder in ["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/opt/x/sbin"] {
            assert!(of_name(&format!("{folder}/{tool}")).unwrap().ends_with("a tool that the service does not need"));
        }
        assert_eq!(of_name(&format!("/usr/share/doc/{tool}")), None, "{tool} is no program there");
    }
    let endings = KEY_ENDINGS.iter().map(|ending| format!("/tls/server{ending}"));
    let files = SECRET_FILES.iter().map(|file| format!("/home/x/{file}"));
    for name in endings.chain(files).chain(["/app/.env.production".to_owned(), "/.env".to_owned()]) {
        assert_eq!(of_name(&name).unwrap(), format!("{name} is a file for secrets"));
    }
    for name in ["/app/.environment", "/app/env", "/x/key", "/usr/bin/app"] {
        assert_eq!(of_name(name), None, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn the_bytes_of_every_file_are_looked_at_and_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("binary"), b"\0\x01hunter2hunter2\0").unwrap();
    std::fs::write(path("harmless"), b"\0\xff").unwrap();
    std::os::unix::fs::symlink(path("binary"), path("link")).unwrap();
    std::os::unix::fs::symlink("/nowhere", path("dangling")).unwrap();
    let contents =
        ["binary", "harmless", "link", "dangling"].map(|name| Content { name: format!("/{name}"), path: path(name) });
    let found = violations(&description(GOOD), &[], &contents, &["hunter2hunter2"]).unwrap();
    assert_eq!(found, ["/binary holds a secret of .env.docker"]);
    let gone = [Content { name: "/gone".to_owned(), path: path("gone") }];
    assert!(violations(&description(GOOD), &[], &gone, &[]).is_err(), "what cannot be looked at is not passed");
}

#[test]
fn of_a_long_command_in_the_history_only_the_start_is_repeated() {
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ0123456789";
    let found = violations_of(&description(GOOD), &format!("RUN {} {token}", "x".repeat(60)), &[]);
    assert_eq!(found, [format!("the history holds an access token: RUN {}…", "x".repeat(36))]);
}
