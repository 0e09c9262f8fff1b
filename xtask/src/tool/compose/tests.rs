//! What compose is asked, and what its answers mean.

use super::*;

fn compose() -> Compose {
    Compose {
        project: "demo-1a2b3c4d".to_owned(),
        root: PathBuf::from("/p"),
        file: "infra/compose.yaml",
        env_file: PathBuf::from(".env.docker"),
        profiles: Vec::new(),
        variables: vec![("BACKEND_PORT", "20000".to_owned())],
        secrets: Vec::new(),
    }
}

#[test]
fn a_secret_is_given_and_not_shown() {
    let compose = Compose { secrets: vec![("PASSWORD_IN_URL", "p%40ss".to_owned())], ..compose() };
    let shown = compose.config().to_string();
    assert!(shown.contains("PASSWORD_IN_URL") && !shown.contains("p%40ss"), "{shown}");
}

const FLAGS: &str = "cd /p && COMPOSE_PROFILES='' COMPOSE_IGNORE_ORPHANS=true BACKEND_PORT=20000 docker compose \
                     --project-name demo-1a2b3c4d --file infra/compose.yaml --env-file .env.docker";

#[test]
fn every_command_names_project_file_and_settings() {
    let compose = compose();
    let up = compose.up(&["postgres", "redis"], None).to_string();
    assert_eq!(up, format!("{FLAGS} up --detach --no-build --no-deps --quiet-pull -- postgres redis"));
    assert_eq!(compose.down().to_string(), format!("{FLAGS} down --remove-orphans"));
    assert_eq!(compose.containers().to_string(), format!("{FLAGS} ps --all --format json"));
    let exec = compose.exec(
        "postgres",
        &[Variable::secret("PGPASSWORD", "hunter22")],
        false,
        &["psql".to_owned(), "-c".to_owned()],
    );
    let exec = exec.to_string();
    assert!(exec.ends_with(" exec --no-TTY --env PGPASSWORD postgres psql -c"), "{exec}");
    assert!(!exec.contains("hunter22"), "{exec}");
}

#[test]
fn only_questions_may_be_asked_in_a_dry_run() {
    let compose = compose();
    assert!(compose.containers().is_read_only() && compose.logs(&[], 1, false).is_read_only());
    assert!(!compose.up(&[], None).is_read_only() && !compose.down().is_read_only());
}

#[test]
fn containers_are_read_in_both_forms_that_compose_has_had() {
    let one = r#"{"Name":"t-redis-1","Service":"redis","State":"running","Health":"healthy","ExitCode":0}"#;
    let two = r#"{"Name":"t-backend-1","Service":"backend","State":"exited","ExitCode":101}"#;
    let read = |stdout: String| parse_containers(&Output { code: Some(0), stdout, stderr: String::new() }).unwrap();
    let lines = read(format!("{one}\n{two}\n"));
    assert_eq!(lines, read(format!("[{one},{two}]")));
    assert_eq!((lines[1].exit_code, lines[1].health.as_str()), (101, ""));
    assert!(read(String::new()).is_empty());
    assert!(read("[]".to_owned()).is_empty());
}

#[test]
fn containers_are_read_without_compose() {
    let containers = parse_labelled("redis\tt-redis-1\trunning\n\n");
    assert_eq!(containers.len(), 1);
    assert_eq!((containers[0].service.as_str(), containers[0].state.as_str()), ("redis", "running"));
}

#[test]
fn a_builds_progress_is_found_in_its_lines() {
    assert_eq!(progress("#9 [dependencies 2/2] RUN cargo build").as_deref(), Some("dependencies 2/2: RUN cargo build"));
    assert_eq!(progress("#9 12.34    Compiling serde v1.0").as_deref(), Some("Compiling serde v1.0"));
    assert_eq!(progress("#1 [internal] load build definition"), None);
    assert_eq!(progress("#9 DONE 3.2s"), None);
}

#[test]
fn each_command_says_what_it_does_to_which_services() {
    let (compose, words) = (compose(), ["ls".to_owned(), "-l".to_owned()]);
    let cases = [
        (compose.config(), "config --quiet"),
        (
            compose.up(&["backend"], Some(3)),
            "up --detach --no-build --no-deps --quiet-pull --scale backend=3 -- backend",
        ),
        (compose.up_and_wait(), "up --detach --wait"),
        (compose.remove(&["redis"]), "rm --stop --force -- redis"),
        (compose.stop(&["redis"]), "stop -- redis"),
        (compose.logs(&["redis"], 50, false), "logs --no-color --timestamps --tail 50 -- redis"),
        (compose.logs(&[], 50, true), "logs --no-color --timestamps --tail 50 --follow --"),
        (compose.exec("redis", &[], true, &words), "exec redis ls -l"),
        (compose.run_once("backend", &words), "run --rm --no-deps --no-TTY --quiet-pull backend ls -l"),
    ];
    for (step, expected) in cases {
        assert_eq!(step.to_string(), format!("{FLAGS} {expected}"));
    }
    assert_eq!(compose.logs(&[], 1, true).time(), None, "somebody follows for as long as they like");
    assert!(compose.logs(&[], 1, false).time().is_some());
}

#[test]
fn a_build_in_a_container_gives_the_meaning_of_its_exit_codes_and_hides_its_noise() {
    let step = compose().build_backend("x-build", &["cargo".to_owned(), "build".to_owned()], true);
    let shown = step.to_string();
    assert!(shown.contains(" run --rm --no-deps --no-TTY --name x-build "), "{shown}");
    assert!(shown.ends_with("--env CARGO_TERM_COLOR=always backend cargo build"), "{shown}");
    assert_eq!(step.exit_when_failed(Some(3)), crate::failure::Exit::Missing);
    assert!(step.is_noise("   Compiling serde v1") && !step.is_noise("error[E0308]: mismatched types"));
}

#[test]
fn sql_with_a_password_is_fed_and_not_shown() {
    let step = compose().sql("ALTER ROLE x PASSWORD 'hunter2'".to_owned());
    assert!(!step.to_string().contains("hunter2"));
    assert!(step.arguments().iter().all(|word| !word.to_string_lossy().contains("hunter2")));
    assert!(step.to_string().starts_with("cd /p && printf '***' | "), "{step}");
}

#[test]
fn an_answer_that_is_cut_is_an_error_and_not_fewer_containers() {
    let one = r#"{"Name":"a","Service":"redis","State":"running"}"#;
    let parse = |stdout: &str| parse_containers(&crate::runner::says(stdout));
    for cut in [&one[..20], "[", "no configuration file provided: not found", r#"{"Name":"a"}"#, "null"] {
        let error = parse(cut).unwrap_err();
        assert!(error.starts_with("docker compose ps says what cannot be understood: "), "{error}");
    }
    assert!(parse(&format!("{one}\n{}", &one[..20])).is_err());
    let container = &parse(&format!(" {one} \n")).unwrap()[0];
    assert_eq!((container.health.as_str(), container.exit_code), ("", 0));
}

#[test]
fn containers_of_which_something_is_missing_are_left_out_where_compose_is_not_asked() {
    assert!(parse_labelled("").is_empty() && parse_labelled("redis\tx-redis-1\n").is_empty());
    let containers = parse_labelled("backend\tx-backend-1\texited\tmore\n\tx\t\n");
    assert_eq!(containers[0].state, "exited");
    assert_eq!((containers.len(), containers[1].service.as_str()), (2, ""));
}

#[test]
fn a_line_that_is_no_progress_is_none() {
    for line in ["", "#", "#9", "#9 ", "#9 [", "#9 [stage", "9 [a] b", "#9 1.2", "#9 1.2 warning: x", "Compiling x"] {
        assert_eq!(progress(line), None, "{line}");
    }
    let long = progress(&format!("#9 [a] RUN {}", "x".repeat(100))).unwrap();
    assert_eq!(long.chars().count(), "a: ".len() + 60);
    let cut_in_a_letter = progress(&format!("#9 1.2 Compiling {}", "é".repeat(100))).unwrap();
    assert_eq!(cut_in_a_letter.chars().count(), 80);
}
