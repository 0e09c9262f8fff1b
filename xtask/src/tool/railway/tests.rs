//! The CLI's command lines, and what its answers come down to.

use serde_json::json;

use super::answer::{DeploymentAnswer, Status};
use super::*;
use crate::runner::{fails, says};

fn with(variables: &[(&str, &str)]) -> Railway {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Railway::new(Path::new("/usr/bin/railway"), move |name| {
        variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    })
}

fn to() -> Destination {
    let text = |text: &str| text.to_owned();
    Destination { project: text("p"), environment: text("e"), service: text("s"), service_name: text("api") }
}

#[test]
fn a_project_token_goes_before_another_and_neither_is_shown() {
    let both = with(&[("RAILWAY_API_TOKEN", "account"), ("RAILWAY_TOKEN", "project"), ("RAILWAY_ENV", "staging")]);
    assert_eq!(both.kind(), TokenKind::Project);
    let step = both.api(&document::PROJECT_TOKEN, &Value::Null);
    let names: Vec<&str> = step.variables().map(|(name, _)| name).collect();
    assert_eq!(names, ["DO_NOT_TRACK", "RAILWAY_NO_AUTO_UPDATE", "RAILWAY_CALLER", "RAILWAY_TOKEN"]);
    assert!(
        step.is_isolated() && !step.to_string().contains("account") && step.to_string().contains("RAILWAY_TOKEN=***")
    );
    assert_eq!(with(&[("RAILWAY_API_TOKEN", "account"), ("RAILWAY_TOKEN", " ")]).kind(), TokenKind::Account);
    assert_eq!(with(&[]).kind(), TokenKind::Login);
}

#[test]
fn the_way_out_of_a_companys_network_is_passed_on() {
    let step = with(&[("HTTPS_PROXY", "http://proxy:1"), ("SSL_CERT_FILE", "/ca.pem")]).version();
    assert!(step.to_string().contains("HTTPS_PROXY=http://proxy:1 SSL_CERT_FILE=/ca.pem"), "{step}");
    let step = with(&[("HTTPS_PROXY", "http://me:hunter2@proxy:1")]).version();
    assert!(step.to_string().contains("HTTPS_PROXY=***"), "{step}");
}

#[test]
fn questions_only_read_and_orders_do_not() {
    let railway = with(&[]);
    for (name, document) in document::ALL {
        let is_question = document.text.starts_with("query");
        assert_eq!(railway.api(document, &Value::Null).is_read_only(), is_question, "{name}");
    }
    assert!(railway.version().is_read_only());
    assert!(!railway.up(Path::new("/x"), &to(), "m").is_read_only());
    assert!(!railway.backup(&to(), "b").is_read_only());
    assert!(!railway.api_with_secrets(&document::SET_VARIABLES, &json!({})).is_read_only());
}

#[test]
fn no_document_asks_for_the_value_of_a_services_variable_but_the_one_for_the_databases_address() {
    for (name, document) in document::ALL {
        let text = document.text;
        assert!(!text.contains("decryptVariables:true") && !text.contains("node{value"), "{name}");
        // Besides, only the shared ones are read: the lock is among them.
        let is_of_a_service = text.contains("variables(projectId") && text.contains("serviceId");
        assert_eq!(is_of_a_service, name == &"DATABASE_VARIABLES", "{name}");
    }
}

#[test]
fn an_upload_names_everything_by_its_id() {
    let step = with(&[]).up(Path::new("/tmp/x"), &to(), "abc Add 'it'").to_string();
    let words = "railway up /tmp/x --path-as-root --detach --json --project p --environment e --service s --message";
    assert!(step.contains(words) && step.contains("RAILWAY_HTTP_TIMEOUT=600"), "{step}");
}

#[test]
fn secrets_go_through_stdin() {
    let step = with(&[]).api_with_secrets(&document::SET_VARIABLES, &json!({ "i": "hunter2" }));
    assert!(!step.to_string().contains("hunter2") && step.to_string().contains("--variables @-"));
    assert_eq!(step.input(), &Stdin::Text(r#"{"i":"hunter2"}"#.to_owned()));
}

fn refusal(code: i32, stdout: &str, stderr: &str) -> Refusal {
    parse::<Value>(&Output { code: Some(code), stdout: stdout.to_owned(), stderr: stderr.to_owned() }).unwrap_err()
}

#[test]
fn a_no_is_told_from_one_that_is_away() {
    let errors = r#"{"data":null,"errors":[{"message":"Not Authorized"}]}"#;
    assert_eq!(
        refusal(1, errors, "Railway API returned 1 GraphQL error(s)"),
        Refusal::Denied("Not Authorized".to_owned())
    );
    let failed = |status: &str| format!("Railway API request failed with HTTP {status}");
    assert!(matches!(refusal(1, errors, &failed("401 Unauthorized")), Refusal::Denied(_)));
    for status in ["429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable"] {
        assert!(matches!(refusal(1, "<html>", &failed(status)), Refusal::Away(_)), "{status}");
    }
    assert!(matches!(refusal(1, "", "error sending request: connection refused"), Refusal::Away(_)));
    assert_eq!(refusal(1, "", ""), Refusal::Away("railway says nothing".to_owned()));
    assert!(matches!(refusal(0, "not JSON", ""), Refusal::Away(_)), "an answer that cannot be read is none");
    assert!(matches!(refusal(0, r#"{"other":1}"#, ""), Refusal::Away(_)));
}

#[test]
fn what_a_failed_command_printed_is_told_without_its_data() {
    let body = r#"{"data":{"variables":{"KEY":"hunter2"}},"errors":[{"message":"Busy"}]}"#;
    let lines = vec![body.to_owned(), "Railway API returned 1 GraphQL error(s)".to_owned()];
    assert_eq!(said(&lines), ["Busy", "Railway API returned 1 GraphQL error(s)"]);
    let pretty: Vec<String> = ["{", "  \"KEY\": \"hunter2\"", "}"].map(str::to_owned).into();
    assert!(said(&pretty).is_empty());
    assert_eq!(said(&[r#"{"code":"UPLOAD_FAILED","error":"too large","hint":null}"#.to_owned()]), ["too large"]);
}

#[test]
fn the_deployment_is_found_among_what_the_upload_prints() {
    assert_eq!(parse_up(&says("{\"deploymentId\":\"d1\",\"logsUrl\":\"x\"}\n")).as_deref(), Some("d1"));
    assert_eq!(parse_up(&says("warning\n{\"deploymentId\":\"d1\"}\n")).as_deref(), Some("d1"));
    assert_eq!(parse_up(&says("Deploy complete\n")), None);
    assert_eq!(parse_up(&fails(1, "{\"deploymentId\":\"d1\"}")), None);
}

#[test]
fn a_backup_that_nobody_can_wait_for_is_none() {
    let said = r#"{"root":{"id":"s1","name":"postgres"},"workflowId":"w1"}"#;
    assert_eq!(parse_backup(said).as_deref(), Some("w1"));
    assert_eq!(parse_backup(&said.replace("\"w1\"", "null")), None);
    assert_eq!(parse_backup("no"), None);
}

#[test]
fn the_version_is_read_or_it_is_an_error() {
    assert_eq!(parse_version(&says("railway 5.71.0\n")).unwrap(), ("5.71.0".to_owned(), (5, 71)));
    assert!(parse_version(&says("railway\n")).is_err());
    assert!(parse_version(&fails(1, "no")).is_err());
}

#[test]
fn every_status_of_the_schema_has_a_meaning_and_an_unknown_one_is_waited_for() {
    let meaning = |word: &str| Status::of(word);
    assert_eq!((meaning("SUCCESS"), meaning("SLEEPING")), (Status::Good, Status::Good));
    for bad in ["FAILED", "CRASHED", "REMOVED", "REMOVING", "SKIPPED", "CANCELLED"] {
        assert_eq!(meaning(bad), Status::Bad, "{bad}");
    }
    for word in answer::UNDER_WAY {
        assert!(matches!(meaning(word), Status::UnderWay | Status::NeedsApproval), "{word}");
    }
    assert_eq!(meaning("TELEPORTING"), Status::Unknown);
}

#[test]
fn an_answer_with_less_in_it_than_usual_is_read() {
    let text =
        r#"{"data":{"deployment":{"id":"d","status":"BUILDING","createdAt":"2026-01-01T00:00:00Z","meta":null}}}"#;
    let deployment = parse::<DeploymentAnswer>(&says(text)).unwrap().deployment;
    assert_eq!((deployment.running(), deployment.can_rollback), (0, false));
}
