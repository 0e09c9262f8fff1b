//! A command as a value: what a person would type, and what is never in it.

use super::*;

#[test]
fn a_step_reads_as_a_person_would_type_it() {
    let step = Step::new("list", "/usr/bin/ls").arg("-l").arg("with blank").env("LANG", "C").folder("/tmp/a b");
    assert_eq!(step.to_string(), "cd '/tmp/a b' && LANG=C /usr/bin/ls -l 'with blank'");
}

#[test]
fn a_word_is_quoted_only_where_a_shell_would_take_it_apart() {
    let quoted = |word: &str| quoted(OsStr::new(word));
    assert_eq!(quoted("--locale=C.UTF-8"), "--locale=C.UTF-8");
    assert_eq!(quoted(""), "''");
    assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
}

#[test]
fn secrets_are_not_in_it() {
    let step = Step::new("serve", "app")
        .secret_env("DATABASE_URL", "postgres://u:hunter2@h/d")
        .stdin(Stdin::Text("ALTER ROLE x PASSWORD 'hunter2';".to_owned()));
    assert_eq!(step.to_string(), "printf '***' | DATABASE_URL=*** app");
}

#[test]
fn of_a_long_output_the_end_is_shown_and_of_a_compilers_the_start() {
    let said: Vec<String> = (1..=5).map(|number| format!("line {number}")).collect();
    assert_eq!(Step::new("x", "x").evidence(&said, 2), ["… 3 lines above", "line 4", "line 5"]);
    let compiler = Step::new("x", "x").noise(|line| line == "line 1");
    assert_eq!(compiler.evidence(&said, 2), ["line 2", "line 3", "… 2 lines more"]);
    assert_eq!(compiler.evidence(&said, 9).len(), 4);
}

#[test]
fn another_user_and_a_clean_environment_are_in_it() {
    let user = User { name: "postgres".to_owned(), uid: 105, gid: 110 };
    let step = Step::new("serve", "postgres").isolated().env("TZ", "UTC").user(Some(user));
    assert_eq!(step.to_string(), "runuser -u postgres -- env -i PATH=\"$PATH\" TZ=UTC postgres");
}

#[test]
fn a_question_has_less_time_than_work_and_only_what_is_followed_has_none() {
    let step = || Step::new("x", "x");
    assert_eq!(step().time(), Some(Duration::from_hours(1)));
    assert_eq!(step().only_reads().time(), Some(Duration::from_mins(1)));
    assert_eq!(step().only_reads().timeout(Duration::from_secs(1)).time(), Some(Duration::from_secs(1)));
    assert_eq!(step().timeout(Duration::from_secs(1)).endless().time(), None);
}

#[test]
fn a_programs_own_exit_codes_go_before_that_of_the_step() {
    let step = Step::new("x", "x").exit(Exit::Missing).exit_codes(&[(5, Exit::Migrations)]);
    let exits = [Some(5), Some(1), None].map(|code| step.exit_when_failed(code));
    assert_eq!(exits, [Exit::Migrations, Exit::Missing, Exit::Missing]);
    assert_eq!(Step::new("x", "x").exit_when_failed(Some(5)), Exit::Failed);
}

#[test]
fn every_variable_is_shown_and_every_secret_as_stars_whatever_it_holds() {
    let user = User { name: "app".to_owned(), uid: 1, gid: 1 };
    let step = Step::new("x", "x").env("A", "").env("B", "it's").secret_env("C", "").secret_env("D", "'\n$(rm)");
    assert_eq!(step.to_string(), r"A='' B='it'\''s' C=*** D=*** x");
    assert_eq!(step.clone().user(Some(user)).to_string(), r"runuser -u app -- env A='' B='it'\''s' C=*** D=*** x");
    assert_eq!(step.secrets().collect::<Vec<_>>(), ["", "'\n$(rm)"]);
}

#[test]
fn a_digest_goes_before_every_other_choice_of_lines() {
    let step = Step::new("x", "x").noise(|_| true).digest(|said| vec![format!("{} lines", said.len())]);
    assert_eq!(step.evidence(&["a".to_owned(), "b".to_owned()], 1), ["2 lines"]);
    assert_eq!(Step::new("x", "x").evidence(&[], 5), [""; 0]);
    assert_eq!(Step::new("x", "x").evidence(&["a".to_owned()], 1), ["a"], "nothing was left out");
}

#[test]
fn words_that_a_shell_would_read_differently_are_quoted() {
    for word in
        ["a b", "*", "?", "~", "$A", "a;b", "a&b", "a|b", "(a)", "\"a\"", "a>b", "!", "#a", "{a,b}", "é", "a\nb"]
    {
        assert_eq!(quoted(OsStr::new(word)), format!("'{word}'"));
    }
    for word in ["a", "-a", "--a=b", "a/b.c:1", "user@host", "a,b", "+1", "%41"] {
        assert_eq!(quoted(OsStr::new(word)), word);
    }
}

#[test]
fn the_same_command_for_another_purpose_differs_in_nothing_else() {
    let step = Step::new("run it", "x").arg("a").hint("h");
    let other = step.clone().with_purpose("check it");
    assert_eq!((other.purpose(), other.to_string(), other.hints()), ("check it", step.to_string(), step.hints()));
}

#[test]
fn files_that_it_reads_and_writes_are_in_it() {
    let step = Step::new("copy", "cat").stdin(Stdin::File("/a b".into())).into_file("/c");
    assert_eq!(step.to_string(), "cat <'/a b' >/c");
}
