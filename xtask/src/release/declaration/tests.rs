//! What a declaration may say, and what is found wrong with one.

use serde_json::json;

use super::*;

fn problems(text: &str) -> Vec<String> {
    Declaration::parse(text).unwrap_err()
}

fn service(sections: &Value) -> Service {
    let mut value = sections.clone();
    value["name"] = json!("api");
    let text = json!({ "services": [value] }).to_string();
    Declaration::parse(&text).unwrap().services.remove(0)
}

#[test]
fn the_declaration_of_this_repository_is_right_and_its_schema_fresh() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let declaration = Declaration::load(&Project::at(root).unwrap()).unwrap();
    assert!(!declaration.services.is_empty());
    assert_eq!(std::fs::read_to_string(root.join(SCHEMA)).unwrap(), schema());
}

#[test]
fn a_typo_is_named_with_its_place_and_with_what_was_meant() {
    let text = json!({
        "service": [],
        "services": [{ "name": "api", "deploy": { "healtcheckPath": "/health", "zzz": 1 },
            "environments": { "staging": { "deploy": { "numReplica": 1 } } } }],
    });
    assert_eq!(
        problems(&text.to_string()),
        [
            "service is not known; is services meant?",
            "services[0].deploy.healtcheckPath is not known; is healthcheckPath meant?",
            "services[0].deploy.zzz is not known",
            "services[0].environments.staging.deploy.numReplica is not known; is numReplicas meant?",
        ]
    );
}

#[test]
fn values_of_the_wrong_kind_are_all_told_at_once() {
    let wrong = json!({
        "builder": "DOCKER", "dockerfilePath": "", "watchPatterns": [1]
    });
    let deploy = json!({
        "numReplicas": 0, "drainingSeconds": 1.5, "sleepApplication": "no", "preDeployCommand": [],
        "multiRegionConfig": { "europe": { "replicas": 1 } }, "limitOverride": 1,
    });
    let text = json!({ "services": [{ "name": "api", "build": wrong, "deploy": deploy }] }).to_string();
    let told = problems(&text);
    assert_eq!(told.len(), 9, "{told:#?}");
    assert!(told.contains(&"services[0].build.builder is not one of DOCKERFILE, RAILPACK, NIXPACKS".to_owned()));
    assert!(told.contains(&"services[0].deploy.numReplicas is not a whole number from 1 to 50".to_owned()));
}

#[test]
fn a_declaration_without_a_shape_is_refused() {
    assert!(problems("{")[0].starts_with("it is no JSON"));
    assert_eq!(problems("[]"), ["it is not an object"]);
    for text in ["{}", r#"{"services":[]}"#, r#"{"services":{}}"#] {
        assert_eq!(problems(text), ["services lists no service"], "{text}");
    }
    assert_eq!(problems(r#"{"services":[{}]}"#), ["services[0] has no name"]);
    assert_eq!(
        problems(r#"{"services":[{"name":"a"},{"name":"a"}],"project":1}"#),
        ["project is not a name", "two services are named a"]
    );
}

#[test]
fn an_environment_changes_what_it_names_and_nothing_else() {
    let service = service(&json!({
        "deploy": { "numReplicas": 3, "healthcheckPath": "/health" },
        "environments": { "staging": { "deploy": { "numReplicas": 1 }, "build": { "builder": "RAILPACK" } } },
    }));
    assert_eq!((service.replicas("production"), service.replicas("staging")), (3, 1));
    let staging = service.in_environment("staging");
    assert_eq!(staging["deploy"]["healthcheckPath"], "/health");
    assert_eq!(staging["build"]["builder"], "RAILPACK");
    assert!(service.in_environment("production").get("build").is_none());
}

#[test]
fn the_instances_of_every_region_count() {
    let regions = json!({ "a": { "numReplicas": 2 }, "b": { "numReplicas": 1 }, "c": null });
    assert_eq!(service(&json!({ "deploy": { "multiRegionConfig": regions, "numReplicas": 9 } })).replicas("x"), 3);
    assert_eq!(service(&json!({})).replicas("x"), 1);
}

#[test]
fn only_what_is_declared_and_differs_is_changed() {
    let service = service(&json!({
        "build": { "builder": "DOCKERFILE" },
        "deploy": { "preDeployCommand": ["migrate"], "healthcheckTimeout": 120, "numReplicas": 2 },
    }));
    let live = json!({
        "build": { "builder": "DOCKERFILE" },
        "deploy": { "preDeployCommand": "migrate", "healthcheckTimeout": 120.0, "numReplicas": 1, "startCommand": "x" },
    });
    let changes = service.changes("production", &live);
    let expected =
        Change { section: "deploy".to_owned(), key: "numReplicas".to_owned(), live: json!(1), declared: json!(2) };
    assert_eq!(changes, [expected]);
    assert_eq!(patch("s1", &changes), json!({ "services": { "s1": { "deploy": { "numReplicas": 2 } } } }));
    assert_eq!(service.changes("production", &Value::Null).len(), 4, "a service without settings");
}
