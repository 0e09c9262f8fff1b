//! What Docker says of an image, also where it says it badly.

use super::*;
use crate::fixture::Fixture;
use crate::runner::{fails, says};
use crate::step::Step;

#[test]
fn an_image_is_described_as_the_daemon_does() {
    let fixture = Fixture::new(&[]);
    let said = r#"[{"Size":5,"Config":{"User":"1","Env":null,"Labels":null,"StopSignal":"SIGTERM"}}]"#;
    fixture.runner.on("docker image inspect", says(said));
    let found = describe(&fixture.runner, "x:1").unwrap();
    assert_eq!((found.size, found.config.user.as_str(), found.config.stop_signal.as_str()), (5, "1", "SIGTERM"));
    assert!(found.config.env.is_none() && found.config.labels.is_none() && found.config.healthcheck.is_none());
}

#[test]
fn an_answer_that_cannot_be_understood_is_an_error_and_not_an_image_without_faults() {
    for (said, error) in [
        ("[]", "docker image inspect describes nothing"),
        ("", "docker image inspect says what cannot be understood"),
        ("[{\"Size\":5}]", "docker image inspect says what cannot be understood"),
        ("{\"Size\":5,\"Config\":{}}", "docker image inspect says what cannot be understood"),
    ] {
        let fixture = Fixture::new(&[]);
        fixture.runner.on("docker image inspect", says(said));
        assert_eq!(describe(&fixture.runner, "x").unwrap_err().to_string(), error, "{said}");
    }
    let fixture = Fixture::new(&[]);
    fixture.runner.on("docker image inspect", fails(1, "No such image: x"));
    assert!(describe(&fixture.runner, "x").unwrap_err().to_string().starts_with("cannot look at an image: "));
    fixture.runner.on("docker history", says("{\"CreatedBy\":\"RUN x\",\"Size\":\"1\"}\n{\"CreatedBy\":"));
    assert!(history(&fixture.runner, "x").unwrap_err().to_string().contains("cannot be understood"));
}

#[test]
fn the_history_tells_each_layers_size_in_bytes() {
    let fixture = Fixture::new(&[]);
    let said = "{\"CreatedBy\":\"COPY a\",\"Size\":\"12345\"}\n{\"CreatedBy\":\"ENV\",\"Size\":\"0\"}\n{\"CreatedBy\":\"y\",\"Size\":\"1.2kB\"}\n";
    fixture.runner.on("docker history", says(said));
    let layer = |made_by: &str, size| Layer { made_by: made_by.to_owned(), size };
    assert_eq!(history(&fixture.runner, "x").unwrap(), [layer("COPY a", 12345), layer("ENV", 0), layer("y", 0)]);
    assert!(fixture.runner.was_asked("--human=false"));
}

/// Writes the files of an archive into the folder that tar would unpack it into.
fn unpacked(manifest: &'static str) -> impl Fn(&Step) + Send + 'static {
    move |step| {
        let words = step.arguments();
        let (archive, into) = (Path::new(&words[1]), PathBuf::from(&words[3]));
        match archive.file_name().unwrap().to_str().unwrap() {
            "image.tar" => std::fs::write(into.join("manifest.json"), manifest).unwrap(),
            layer => {
                std::fs::create_dir_all(into.join("usr/bin")).unwrap();
                std::fs::write(into.join("usr/bin").join(layer), layer).unwrap();
            }
        }
    }
}

#[test]
fn every_file_of_every_layer_is_listed_also_one_that_a_later_layer_hides() {
    let fixture = Fixture::new(&[]);
    let manifest = r#"[{"Layers":["blobs/app","blobs/other","blobs/app"]}]"#;
    fixture.runner.on("docker save", says("")).on_step("tar -xf", says(""), unpacked(manifest));
    let folder = tempfile::tempdir().unwrap();
    let contents = unpack(&fixture.runner, "x:1", folder.path()).unwrap();
    let names: Vec<&str> = contents.iter().map(|content| content.name.as_str()).collect();
    assert_eq!(names, ["/usr/bin/app", "/usr/bin/other", "/usr/bin/app"]);
    assert_ne!(contents[0].path, contents[2].path);
    assert_eq!(std::fs::read_to_string(&contents[1].path).unwrap(), "other");
}

#[test]
fn an_image_that_cannot_be_unpacked_is_an_error() {
    let folder = || tempfile::tempdir().unwrap();
    let error = |fixture: &Fixture| unpack(&fixture.runner, "x", folder().path()).unwrap_err().to_string();
    let fixture = Fixture::new(&[]);
    fixture.runner.on("docker save", fails(1, "no space left on device"));
    assert!(error(&fixture).starts_with("cannot save the image: "));
    fixture.runner.on("docker save", says("")).on("tar -xf", says(""));
    assert_eq!(error(&fixture), "the saved image has no manifest");
    fixture.runner.on_step("tar -xf", says(""), unpacked("{\"schemaVersion\":2}"));
    assert_eq!(error(&fixture), "the image's manifest is another one");
    fixture.runner.on("tar -xf", fails(2, "unexpected end of file"));
    assert!(error(&fixture).starts_with("cannot unpack an image: "));
}
