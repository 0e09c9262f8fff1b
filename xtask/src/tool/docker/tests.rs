//! What docker is asked, and what its answers mean.

use super::*;

fn said(stdout: &str, stderr: &str) -> Output {
    Output { code: Some(i32::from(!stderr.is_empty())), stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

#[test]
fn the_last_answer_of_a_containers_check_is_found() {
    let state = parse_state(&said(
        r#"{"Status":"running","ExitCode":0,"OOMKilled":false,"StartedAt":"2026-11-21T17:00:00.1Z",
            "Health":{"Status":"unhealthy","FailingStreak":2,"Log":[{"Output":"first"},{"Output":"no route\n"}]}}"#,
        "",
    ));
    assert_eq!(state.unwrap().last_health(), Some("no route"));
    let without = parse_state(&said(r#"{"Status":"exited","ExitCode":137,"OOMKilled":true}"#, "")).unwrap();
    assert_eq!((without.exit_code, without.is_out_of_memory, without.last_health()), (137, true, None));
}

#[test]
fn each_question_and_command_is_what_a_person_would_type() {
    let names = ["a".to_owned(), "b".to_owned()];
    let file = Path::new("/p/x.tar");
    let cases = [
        (container_on(5432), "ps --filter publish=5432 --format '{{.Names}}'", true),
        (images_named("app:1"), "image ls --quiet --filter reference=app:1", true),
        (containers_named("app"), "ps --all --quiet --filter 'name=^/?app$'", true),
        (describe_image("app:1"), "image inspect app:1", true),
        (history("app:1"), "history --no-trunc --human=false --format '{{json .}}' app:1", true),
        (published_port("app"), "port app", true),
        (memory("app"), "stats --no-stream --format '{{.MemUsage}}' app", true),
        (state("app"), "inspect --type container --format '{{json .State}}' app", true),
        (read_file("app", Path::new("/a b")), "exec app cat '/a b'", true),
        (last_words("app", 20), "logs --tail 20 app", true),
        (save("app:1", file), "save --output /p/x.tar app:1", false),
        (push("r/app:1"), "push r/app:1", false),
        (pull("app:1"), "pull --quiet app:1", false),
        (make_network("n", "whose=ours"), "network create --label whose=ours n", false),
        (exec("app", &["ls", "-l"]), "exec app ls -l", false),
        (kill("app"), "kill app", false),
        (stop("app", 10), "stop --time 10 app", false),
        (stop_all(&names, 10), "stop --time 10 a b", false),
        (remove(Kind::Container, &names), "rm --force --volumes a b", false),
        (remove(Kind::Network, &names), "network rm a b", false),
        (remove(Kind::Volume, &names), "volume rm a b", false),
        (remove(Kind::Image, &names), "image rm a b", false),
    ];
    for (step, words, only_reads) in cases {
        assert_eq!(step.to_string(), format!("docker {words}"));
        assert_eq!(step.is_read_only(), only_reads, "{words}");
        assert!(step.time().is_some(), "{words} may take for ever");
    }
}

#[test]
fn what_belongs_to_a_stack_is_found_by_its_name_and_by_no_other() {
    let label = "label=com.docker.compose.project=x-1";
    for kind in Kind::ALL {
        let step = resources(kind, "x-1");
        assert!(step.is_read_only());
        let shown = step.to_string();
        assert!(shown.contains(label) || (kind == Kind::Image && shown.ends_with("'x-1-*'")), "{shown}");
    }
    assert!(containers_of("x-1").to_string().contains(label));
}

#[test]
fn a_container_is_given_its_variables_by_name_only() {
    let variables = [Variable::secret("PASSWORD", "hunter2"), Variable::plain("PORT", "3000")];
    let step = run("serve", "app", &["--detach"], &variables, "app:1", &["serve"]);
    let words = "run --name app --detach --env PASSWORD --env PORT app:1 serve";
    assert_eq!(step.to_string(), format!("PASSWORD=*** PORT=3000 docker {words}"));
    assert!(step.arguments().iter().all(|word| !word.to_string_lossy().contains("hunter2")));
    assert!(step.variables().any(|variable| variable == ("PASSWORD", "hunter2".as_ref())));
}

#[test]
fn an_image_that_cannot_be_fetched_is_a_missing_prerequisite() {
    assert_eq!(pull("app:1").exit_when_failed(Some(1)), Exit::Missing);
    assert!(pull("app:1").hints().iter().any(|hint| hint.starts_with("--engine host")));
}

#[test]
fn a_published_port_is_read_in_every_form() {
    for (said, port) in [
        ("3000/tcp -> 127.0.0.1:49153\n", Some(49153)),
        ("3000/tcp -> [::]:49154\n3000/tcp -> 0.0.0.0:49153\n", Some(49154)),
        ("127.0.0.1:49155", Some(49155)),
        ("", None),
        ("\n", None),
        ("3000/tcp -> ", None),
        ("3000/tcp -> 127.0.0.1:99999", None),
        ("Error: No such container: app", None),
    ] {
        assert_eq!(parse_published_port(said), port, "{said}");
    }
}

#[test]
fn a_state_that_is_cut_or_empty_is_none_and_one_of_podman_is_one() {
    for text in ["", "null", "{", "{}", "[]", r#"{"ExitCode":"0"}"#, "no such container"] {
        assert_eq!(parse_state(&said(text, "")), None, "{text}");
    }
    for health in ["", r#","Health":null"#, r#","Health":{"Log":null}"#, r#","Health":{"Log":[]}"#] {
        let state = parse_state(&said(&format!(r#"{{"ExitCode":0{health}}}"#), "")).unwrap();
        assert_eq!((state.exit_code, state.last_health(), state.started_at.as_str()), (0, None, ""), "{health}");
    }
    let blank = r#"{"ExitCode":0,"Health":{"Log":[{"Output":"first"},{"Output":" \n"}]}}"#;
    assert_eq!(parse_state(&said(blank, "")).unwrap().last_health(), None);
}
