//! What a file of settings may hold, and what is made of it.

use super::*;
use crate::failure::exit_code;
use crate::fixture::{Fixture, without};

fn settings(text: &str) -> Settings {
    parse(text).unwrap()
}

#[test]
fn comments_blank_lines_and_windows_line_ends_are_fine() {
    let settings = settings("# a comment\r\n\r\nNAME=value\r\nEMPTY=\r\n");
    assert_eq!(settings.get("NAME"), Some("value"));
    assert_eq!(settings.get("EMPTY"), None);
}

#[test]
fn what_is_read_differently_elsewhere_is_refused_with_its_line_and_without_its_value() {
    let problems = parse("A='hunter2'\nB=$hunter2\nC=hunter2 # why\nD\nA=1\ne=1\n").unwrap_err();
    let lines: Vec<&str> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
    assert_eq!(lines, ["line 1", "line 2", "line 3", "line 4", "line 6"]);
    assert!(!problems.join("\n").contains("hunter2"));
}

#[test]
fn a_name_twice_is_refused() {
    assert_eq!(parse("A=1\nA=2\n").unwrap_err(), ["line 2: A is set a second time"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let template =
        settings("SECRET=<generated>\nREDIS_PORT=3000\nOPTIONAL=\nNEWER=\nLEVEL=info\nKEY=<generated>\nOTHER=x\n");
    let own = settings("SECRET=<generated>\nREDIS_PORT=70000\nOPTIONAL=\nLEVEL=\nTYPO=1\n");
    assert_eq!(
        own.problems(&template),
        [
            "SECRET was not generated",
            "REDIS_PORT must be a whole number from 1 to 65535",
            "LEVEL is empty",
            "KEY is missing",
            "TYPO is not a setting that anything reads",
        ]
    );
    assert_eq!(template.problems(&template), ["SECRET was not generated", "KEY was not generated"]);
}

#[test]
fn two_generated_secrets_are_not_the_same() {
    let (one, other) = (secret().unwrap(), secret().unwrap());
    assert_eq!(one.len(), 64);
    assert_ne!(one, other);
}

#[test]
fn a_secret_is_one_that_the_backend_or_the_stack_declares() {
    assert!(!declared().is_empty());
    for name in ["JWT_SECRET", "POSTGRES_PASSWORD", "HEALTH_TOKEN", "DATABASE_URL"] {
        assert!(is_secret(name), "{name}");
    }
    for name in ["PORT", "FRONTEND_URL", "LOG_LEVEL", "SOME_OTHER_SECRET"] {
        assert!(!is_secret(name), "{name}");
    }
}

#[test]
fn each_odd_line_is_told_with_what_is_odd() {
    for (text, problem) in [
        ("NAME", "line 1: not of the form NAME=value"),
        ("# ok\n =x", "line 2: the name is not made of A-Z, 0-9 and _"),
        ("=x", "line 1: the name is not made of A-Z, 0-9 and _"),
        ("1A=x", "line 1: the name is not made of A-Z, 0-9 and _"),
        ("export A=x", "line 1: the name is not made of A-Z, 0-9 and _"),
        ("Ä=x", "line 1: the name is not made of A-Z, 0-9 and _"),
    ] {
        assert_eq!(parse(text).unwrap_err(), [problem], "{text}");
    }
    for odd in ["a b", "\"a\"", "'a'", "$A", "`a`", "a\\b", "a#b", "é", "a!b", "a|b", "a&b"] {
        let problems = parse(&format!("A={odd}")).unwrap_err();
        assert!(problems[0].starts_with("line 1: A holds "), "{odd}: {problems:?}");
    }
    let odd = "-_.,:;/@%+=<>[]*aZ0";
    assert_eq!(settings(&format!("A={odd}")).get("A"), Some(odd));
    assert!(parse("").unwrap().iter().next().is_none());
}

#[test]
fn a_file_that_cannot_be_read_is_a_missing_prerequisite_and_one_that_is_not_there_can_be_made() {
    let fixture = Fixture::new(&[]);
    let load = || Settings::load(&fixture.context.project).unwrap_err().downcast::<Failure>().unwrap();
    assert_eq!((load().code(), load().hints()), (3, &["cargo xtask env init".to_owned()][..]));
    std::fs::create_dir(fixture.context.project.settings()).unwrap();
    assert_eq!((load().code(), load().hints().len()), (3, 0), "making it would not help");
    std::fs::remove_dir(fixture.context.project.settings()).unwrap();
    fixture.write(".env.docker", "POSTGRES_PASSWORD='hunter2'\n");
    assert_eq!(load().code(), 3);
    assert!(!load().evidence().concat().contains("hunter2"), "{:?}", load().evidence());
    fixture.write(".env.docker.example", "A\n");
    let error = Settings::generate(&fixture.context.project).unwrap_err();
    assert_eq!(exit_code(&error), 3);
}

#[test]
fn a_file_from_before_a_setting_was_invented_goes_on_working_with_its_default() {
    let fixture = Fixture::new(&[]);
    let text = Settings::generate(&fixture.context.project).unwrap();
    fixture.write(".env.docker", &without(&text, "LOG_FORMAT"));
    let loaded = Settings::load(&fixture.context.project).unwrap();
    assert_eq!(loaded.get("LOG_FORMAT"), Some("pretty"));
    // A required secret has no default.
    fixture.write(".env.docker", &without(&text, "JWT_SECRET"));
    let failure = Settings::load(&fixture.context.project).unwrap_err().downcast::<Failure>().unwrap();
    assert_eq!(failure.to_string(), "a setting is wrong or missing in .env.docker");
    assert_eq!(failure.evidence(), ["JWT_SECRET is missing"]);
}

#[test]
fn a_port_is_a_number_that_can_be_listened_on() {
    let template = settings("BACKEND_PORT=3000\n");
    let wrong = "BACKEND_PORT must be a whole number from 1 to 65535";
    for (value, problem) in [
        ("1", None),
        ("65535", None),
        ("0", Some(wrong)),
        ("65536", Some(wrong)),
        ("-1", Some(wrong)),
        ("3000.0", Some(wrong)),
        ("http", Some(wrong)),
        ("", Some("BACKEND_PORT is empty")),
    ] {
        let problems = settings(&format!("BACKEND_PORT={value}")).problems(&template);
        assert_eq!(problems.first().map(String::as_str), problem, "{value}");
    }
}

#[test]
fn a_secret_that_nothing_needs_may_be_left_empty() {
    let template = settings("HEALTH_TOKEN=<generated>\nJWT_SECRET=<generated>\nREDIS_PASSWORD=<generated>\n");
    let own = settings("HEALTH_TOKEN=\nJWT_SECRET=\nREDIS_PASSWORD=\n");
    assert_eq!(own.problems(&template), ["JWT_SECRET is empty", "REDIS_PASSWORD is empty"]);
    assert_eq!(settings("").problems(&template), ["JWT_SECRET is missing", "REDIS_PASSWORD is missing"]);
}

#[test]
fn a_text_of_settings_is_read_back_as_it_was_and_names_its_secrets() {
    let text = "JWT_SECRET=hunter2\nLOG_LEVEL=info\nREDIS_PASSWORD=\nHEALTH_TOKEN=hunter3\n";
    let settings = settings(text);
    assert_eq!(settings.text(), text);
    assert_eq!(settings.secrets().collect::<Vec<_>>(), ["hunter2", "hunter3"], "an empty one hides nothing");
    assert_eq!(settings.require("LOG_LEVEL").unwrap(), "info");
    for name in ["REDIS_PASSWORD", "NONE"] {
        let error = settings.require(name).unwrap_err();
        assert_eq!((exit_code(&error), error.to_string()), (3, format!("{name} is not set")));
    }
}

#[test]
fn remembered_settings_stand_among_the_templates_comments() {
    let fixture = Fixture::new(&[]);
    fixture.write(".env.docker.example", "# What A is.\nA=<generated>\n\n# B=is a comment\nB=default\nC=c\n");
    let text = settings("B=mine\nGONE=1\nA=hunter2\n").in_template(&fixture.context.project).unwrap();
    assert_eq!(text, "# What A is.\nA=hunter2\n\n# B=is a comment\nB=mine\nC=c\n");
}

#[test]
fn a_declaration_that_is_cut_or_of_another_form_is_an_error() {
    for text in ["", "{", "{}", "[]", r#"{"settings":[{"name":"A"}]}"#] {
        let error = parse_declaration(text).unwrap_err();
        assert_eq!(error.to_string(), "the backend's declaration of its settings", "{text}");
    }
    let one = r#"{"settings":[{"name":"A","required":true,"required_in_production":false,"secret":false,
        "default":null,"description":"x","newer":1}]}"#;
    assert!(parse_declaration(one).unwrap()[0].required);
}
