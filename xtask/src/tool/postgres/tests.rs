//! What PostgreSQL's programs are asked, and what its server answers.

use super::*;

fn cluster() -> Cluster {
    let programs = Programs { folder: PathBuf::from("/pg/bin") };
    let user = User { name: "postgres".to_owned(), uid: 1, gid: 2 };
    Cluster { programs, data: PathBuf::from("/stack/postgres/data"), user: Some(user) }
}

#[test]
fn versions_of_several_packagers_are_read() {
    for (said, version) in [
        ("postgres (PostgreSQL) 15.18\n", "15.18"),
        ("postgres (PostgreSQL) 15.19 (Debian 15.19-0+deb12u1)\n", "15.19"),
        ("postgres (PostgreSQL) 18beta2 (Homebrew)\n", "18beta2"),
    ] {
        assert_eq!(parse_version(said).as_deref(), Some(version));
    }
    assert_eq!(parse_version("command not found"), None);
}

#[test]
fn the_data_folder_is_made_for_passwords_only() {
    assert_eq!(
        cluster().initialise("C.UTF-8").to_string(),
        "cd /stack/postgres && runuser -u postgres -- env -i PATH=\"$PATH\" /pg/bin/initdb --pgdata \
         /stack/postgres/data --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth-host=scram-sha-256 \
         --auth-local=peer --no-sync --no-instructions"
    );
}

#[test]
fn the_password_is_in_no_argument() {
    let step = cluster().create_role_and_database("app", "hunter2", "app");
    assert!(!step.to_string().contains("hunter2"));
    assert!(step.arguments().iter().all(|arg| !arg.to_string_lossy().contains("hunter2")));
    assert!(matches!(step.input(), Stdin::Text(sql) if sql.contains("PASSWORD 'hunter2'")));
}

#[test]
fn the_server_listens_on_this_machine_only() {
    assert_eq!(
        cluster().serve(5433, Durability::Safe).to_string(),
        "cd /stack/postgres && runuser -u postgres -- env -i PATH=\"$PATH\" TZ=UTC /pg/bin/postgres -D \
         /stack/postgres/data -p 5433 -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c \
         log_timezone=UTC -c 'log_line_prefix=%m [%p] '"
    );
}

/// A server that says `answer` to whoever connects.
fn answering(answer: &'static [u8]) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = [0; 256];
        assert!(stream.read(&mut question).unwrap() > 8);
        stream.write_all(answer).unwrap();
    });
    address
}

#[test]
fn a_question_for_the_password_means_ready() {
    assert_eq!(ping(answering(b"R\0\0\0\x08\0\0\0\x0a"), "u", "d"), Ok(()));
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let refusal = b"E\0\0\0\x37SFATAL\0C57P03\0Mthe database system is starting up\0\0";
    assert_eq!(ping(answering(refusal), "u", "d"), Err("the database system is starting up".to_owned()));
    assert_eq!(ping(answering(b"HTTP/1.1 400"), "u", "d"), Err("what answers there is not PostgreSQL".to_owned()));
}

#[test]
fn what_is_no_postgresql_has_no_version() {
    for said in ["", "postgres (PostgreSQL)", "postgres (PostgreSQL) devel", "psql (EnterpriseDB) 15.1"] {
        assert_eq!(parse_version(said), None, "{said}");
    }
}

#[test]
fn data_tells_which_version_made_it_and_which_process_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    assert_eq!(data_major(folder.path()), None);
    for (text, major) in [("15\n", Some(15)), ("9.6\n", Some(9)), ("", None), ("x", None)] {
        write("PG_VERSION", text);
        assert_eq!(data_major(folder.path()), major, "{text:?}");
    }
    assert_eq!(lock_file(folder.path(), |_| true), None);
    for (text, is_it) in [("812\n/data\n", true), (" 812 \n", true), ("813\n", false), ("", false), ("x\n812\n", false)]
    {
        write("postmaster.pid", text);
        assert_eq!(lock_file(folder.path(), |pid| pid == 812).is_some(), is_it, "{text:?}");
    }
}

#[test]
fn an_installation_counts_where_both_programs_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs { folder: folder.path().to_owned() };
    std::fs::write(programs.postgres(), "").unwrap();
    assert!(!programs.are_complete());
    std::fs::write(folder.path().join("initdb"), "").unwrap();
    assert!(programs.are_complete());
}

#[test]
fn migrations_are_one_command_of_the_databases_owner() {
    let step = cluster().run_sql("app", "template", "CREATE TABLE a (\n\n  b int\n);\n\n  \nCREATE TABLE c ();\n");
    let Stdin::Text(sql) = step.input() else { panic!("it is fed") };
    assert_eq!(sql, "SET SESSION AUTHORIZATION app;\n\nCREATE TABLE a (\n  b int\n);\nCREATE TABLE c ();\n\n");
    let shown = step.to_string();
    assert!(shown.contains("--single -j -D") && shown.contains("exit_on_error=true"), "{shown}");
    assert!(shown.ends_with(" template"), "{shown}");
}

#[test]
fn an_error_does_not_print_the_statement_with_the_password() {
    let step = cluster().set_password("app", "hunter2");
    let shown = step.to_string();
    assert!(shown.contains("log_min_error_statement=panic") && !shown.contains("hunter2"), "{shown}");
    assert!(matches!(step.input(), Stdin::Text(sql) if sql == "ALTER ROLE app PASSWORD 'hunter2'\n"));
}

#[test]
fn only_what_is_thrown_away_is_not_written_to_the_disk() {
    let shown = |durability| cluster().serve(1, durability).to_string();
    assert!(shown(Durability::None).contains("fsync=off") && !shown(Durability::Safe).contains("fsync"));
}

#[test]
fn each_program_is_asked_with_none_of_our_environment() {
    for step in [cluster().programs.version(), client_version(Path::new("/c")), cluster().serve(1, Durability::Safe)] {
        assert!(step.is_isolated(), "{step}");
    }
    assert_eq!(client_version(Path::new("/c")).program(), Path::new("/c/psql"));
}

#[test]
fn an_answer_that_is_cut_or_endless_is_no_readiness_and_no_hang() {
    let told = |answer| ping(answering(answer), "u", "d").unwrap_err();
    assert_eq!(told(b"R\0\0"), "failed to fill whole buffer");
    assert_eq!(told(b"E\0\0\0\x09C57P"), "it refuses connections");
    assert_eq!(told(b"E\xff\xff\xff\xffMstill starting\0"), "still starting");
    assert_eq!(told(b"E\0\0\0\0"), "it refuses connections");
}

#[test]
fn a_port_on_which_nobody_listens_is_told_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(ping(address, "u", "d"), Err("nothing listens there".to_owned()));
}
