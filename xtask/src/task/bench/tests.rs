//! What is measured how often, and what is printed of it.

use super::*;
use crate::cli::Json;
use crate::fixture::Fixture;
use crate::runner::{Output, says};

fn arguments(what: BenchWhat) -> Bench {
    Bench { what, runs: None, engine: EngineChoice::Host, servers: Origin::Auto, output: Json { json: false } }
}

#[test]
fn a_dry_run_says_what_is_measured_and_how_often_on_either_engine() {
    for (what, engine, expected) in [
        (
            BenchWhat::Stack,
            EngineChoice::Host,
            vec!["xtask's build from nothing, 5", "what cargo adds to each task, 5", "after `clean`, 5"],
        ),
        (
            BenchWhat::Stack,
            EngineChoice::Docker,
            vec!["`up` in containers; the first, which compiles everything, does not count, 5"],
        ),
        (BenchWhat::Database, EngineChoice::Host, vec!["a million rows added, saved and restored, 3"]),
        (BenchWhat::Image, EngineChoice::Host, vec!["its memory and its end, 1"]),
        (
            BenchWhat::Reload,
            EngineChoice::Host,
            vec!["an edit; what comes before it compiles everything and does not count, 30"],
        ),
        (BenchWhat::Reload, EngineChoice::Docker, vec!["does not count, 30"]),
    ] {
        let fixture = Fixture::dry(&[]);
        assert_eq!(run(&fixture.context, &Bench { engine, ..arguments(what) }).unwrap(), 0);
        let printed = fixture.printed();
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{printed}");
        for (line, end) in lines.iter().zip(expected) {
            assert!(line.starts_with("# measure ") && line.ends_with(&format!("{end} times")), "{line}");
        }
        assert_eq!(fixture.runner.asked(), [""; 0]);
    }
    let fixture = Fixture::dry(&[]);
    run(&fixture.context, &Bench { runs: Some(3), ..arguments(BenchWhat::Image) }).unwrap();
    assert!(fixture.printed().ends_with(", 3 times\n"), "{}", fixture.printed());
}

#[test]
fn a_figure_stands_beside_its_promise_and_the_same_by_hand() {
    let figures = [
        Figure {
            by_hand: Some(Sample::of(&[2.0, 4.0])),
            ratio: Some(Ratio::of(&[1.0, 3.0], &[2.0, 4.0])),
            ..Figure::of("`up` with data", "s", &[1.0, 3.0], Some(2.0))
        },
        Figure::of("size", "MB", &[9.125], None),
    ];
    let text = anstream::adapter::strip_str(&table(&figures, 2)).to_string();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(words).collect();
    assert_eq!(lines[0], "median spread promised by hand ratio");
    assert_eq!(lines[1], "`up` with data 2.00 s 1.00–3.00 ≤ 2 s 3.00 s (2.00–4.00) 0.62 (0.50–0.75)");
    assert!(lines[2].starts_with("size 9.12 MB 9.12–9.12"), "{}", lines[2]);
    assert!(lines[3].starts_with("medians of 2 runs"), "{}", lines[3]);
}

#[test]
fn a_promise_is_printed_as_it_was_given() {
    for (limit, shown) in [(30.0, "30"), (0.1, "0.1"), (1.0 / 3.0, "0.33"), (1.3, "1.3"), (0.0, "0"), (100.0, "100")] {
        assert_eq!(rounded(limit), shown);
    }
}

#[test]
fn a_figure_as_json_has_its_sample_its_limit_and_null_where_there_is_nothing() {
    let figure = serde_json::to_value(Figure::of("size", "MB", &[1.0, 2.0, 9.0], Some(15.0))).unwrap();
    let expected = serde_json::json!({
        "name": "size", "unit": "MB", "median": 2.0, "least": 1.0, "most": 9.0, "limit": 15.0,
        "by_hand": null, "ratio": null,
    });
    assert_eq!(figure, expected);
}

#[test]
fn the_backend_is_measured_as_it_ships_on_servers_of_its_own_and_its_code_passes_through() {
    let fixture = Fixture::new(&[]).with_installed_servers();
    fixture
        .runner
        .on("build --package backend", says(""))
        .on("build --release --example bench", says(""))
        .on("migrate run", says(""))
        .on("release/examples/bench", Output { code: Some(7), ..says("{}\n") });
    let arguments = Bench { runs: Some(2), output: Json { json: true }, ..arguments(BenchWhat::Backend) };
    assert_eq!(run(&fixture.context, &arguments).unwrap(), 7);
    let bench = fixture.runner.asked().pop().unwrap();
    assert!(bench.starts_with("env -i PATH=\"$PATH\" DATABASE_URL=*** REDIS_URL=*** "), "{bench}");
    assert!(bench.ends_with("--rounds 2 --json") && bench.contains("--binary "), "{bench}");
    assert!(!fixture.context.project.state().exists(), "the servers are gone");
}
