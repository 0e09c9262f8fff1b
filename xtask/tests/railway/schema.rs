//! The API's own schema, as the CLI's package has it: what documents may ask, and what answers may hold.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::PathBuf;
use std::str::Chars;

use serde_json::Value;

/// The types of the API by name, each as introspection tells it.
pub struct Schema {
    types: BTreeMap<String, Value>,
}

/// A field that is asked for.
#[derive(Debug)]
struct Field {
    name: String,
    arguments: Vec<String>,
    fields: Vec<Field>,
}

impl Schema {
    /// The schema of the CLI's package: where `RAILWAY_SCHEMA` says, or where cargo has unpacked it.
    pub fn load() -> Self {
        let path = std::env::var_os("RAILWAY_SCHEMA").map(PathBuf::from).or_else(unpacked);
        let path = path.expect("RAILWAY_SCHEMA names src/gql/schema.json of the package railwayapp");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let value: Value = serde_json::from_str(&text).expect("a schema");
        let schema = value.pointer("/data/__schema").or_else(|| value.get("__schema")).expect("an introspection");
        let types = schema["types"].as_array().expect("types").iter();
        Self { types: types.map(|one| (one["name"].as_str().expect("a name").to_owned(), one.clone())).collect() }
    }

    /// What is wrong with a document.
    pub fn problems(&self, text: &str) -> Vec<String> {
        let (root, fields) = parse(text);
        let mut problems = Vec::new();
        self.check(root, &fields, &mut problems);
        problems
    }

    /// What is wrong with the data of an answer to it. Statuses that the schema lacks are seen all the same.
    pub fn problems_of_answer(&self, text: &str, data: &Value) -> Vec<String> {
        let (root, fields) = parse(text);
        let mut problems = Vec::new();
        self.check_answer(root, &fields, data, &mut problems);
        problems
    }

    fn field(&self, type_name: &str, name: &str) -> Option<&Value> {
        let fields = self.types.get(type_name)?["fields"].as_array()?;
        fields.iter().find(|field| field["name"] == name)
    }

    fn check(&self, type_name: &str, fields: &[Field], problems: &mut Vec<String>) {
        for asked in fields {
            let Some(field) = self.field(type_name, &asked.name) else {
                problems.push(format!("{type_name} has no {}", asked.name));
                continue;
            };
            let known: Vec<&Value> = field["args"].as_array().into_iter().flatten().collect();
            for argument in &asked.arguments {
                if !known.iter().any(|one| one["name"] == *argument) {
                    problems.push(format!("{type_name}.{} takes no {argument}", asked.name));
                }
            }
            for one in known.iter().filter(|one| one["type"]["kind"] == "NON_NULL" && one["defaultValue"].is_null()) {
                let name = one["name"].as_str().unwrap_or_default();
                if !asked.arguments.iter().any(|given| given == name) {
                    problems.push(format!("{type_name}.{} needs {name}", asked.name));
                }
            }
            let inner = named(&field["type"]);
            let has_fields = self.types.get(inner).is_some_and(|one| one["fields"].is_array());
            if has_fields == asked.fields.is_empty() {
                problems.push(format!("{type_name}.{} is a {inner}", asked.name));
            }
            self.check(inner, &asked.fields, problems);
        }
    }

    fn check_answer(&self, type_name: &str, fields: &[Field], data: &Value, problems: &mut Vec<String>) {
        if let Some(list) = data.as_array() {
            return list.iter().for_each(|one| self.check_answer(type_name, fields, one, problems));
        }
        for asked in fields {
            let (value, Some(field)) = (&data[asked.name.as_str()], self.field(type_name, &asked.name)) else {
                continue;
            };
            if value.is_null() {
                if field["type"]["kind"] == "NON_NULL" {
                    problems.push(format!("{type_name}.{} is never null", asked.name));
                }
                continue;
            }
            let inner = named(&field["type"]);
            let values = self.types.get(inner).and_then(|one| one["enumValues"].as_array());
            if let (Some(values), Some(word)) = (values, value.as_str()) {
                let is_known = values.iter().any(|one| one["name"] == word);
                if !is_known && !["CANCELLED", "TELEPORTING"].contains(&word) {
                    problems.push(format!("{type_name}.{} is never {word}", asked.name));
                }
            }
            self.check_answer(inner, &asked.fields, value, problems);
        }
    }
}

/// Where cargo has unpacked the package.
fn unpacked() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let registries = std::fs::read_dir(home.join("registry/src")).ok()?.flatten();
    let packages = registries.flat_map(|one| std::fs::read_dir(one.path()).into_iter().flatten().flatten());
    let is_cli = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("railwayapp-5.");
    packages.filter(|one| is_cli(&one.file_name())).map(|one| one.path().join("src/gql/schema.json")).max()
}

/// The name below lists and non-nulls.
fn named(kind: &Value) -> &str {
    kind["name"].as_str().filter(|_| kind["ofType"].is_null()).unwrap_or_else(|| named(&kind["ofType"]))
}

/// The root type and the fields of a document of one operation.
fn parse(text: &str) -> (&'static str, Vec<Field>) {
    let root = if text.trim_start().starts_with("mutation") { "Mutation" } else { "Query" };
    let start = text.find('{').expect("fields");
    (root, fields(&mut text[start + 1..].chars().peekable()))
}

/// The fields up to the brace that ends them.
fn fields(rest: &mut Peekable<Chars<'_>>) -> Vec<Field> {
    let mut all = Vec::new();
    loop {
        match rest.peek().copied() {
            None | Some('}') => {
                rest.next();
                return all;
            }
            Some(letter) if letter.is_alphanumeric() || letter == '_' => {
                let name = word(rest);
                let arguments = if rest.peek() == Some(&'(') { arguments(rest) } else { Vec::new() };
                while rest.peek().is_some_and(|letter| letter.is_whitespace()) {
                    rest.next();
                }
                let inner = if rest.peek() == Some(&'{') {
                    rest.next();
                    fields(rest)
                } else {
                    Vec::new()
                };
                all.push(Field { name, arguments, fields: inner });
            }
            Some(_) => drop(rest.next()),
        }
    }
}

fn word(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(letter) = rest.next_if(|letter| letter.is_alphanumeric() || *letter == '_') {
        word.push(letter);
    }
    word
}

/// The names of the arguments: the words before a colon at the first depth.
fn arguments(rest: &mut Peekable<Chars<'_>>) -> Vec<String> {
    let (mut names, mut depth, mut last) = (Vec::new(), 0, String::new());
    for letter in rest.by_ref() {
        match letter {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            ':' if depth == 1 => names.push(std::mem::take(&mut last)),
            letter if letter.is_alphanumeric() || letter == '_' => {
                last.push(letter);
                continue;
            }
            _ => {}
        }
        last.clear();
        if depth == 0 {
            break;
        }
    }
    names
}

#[test]
#[ignore = "needs the package of the Railway CLI: cargo xtask ci ship"]
fn mistakes_in_documents_and_answers_are_found() {
    let schema = Schema::load();
    let good = "query($id:String!){deployment(id:$id){id status instances{status}}}";
    assert!(schema.problems(good).is_empty(), "{:?}", schema.problems(good));
    for (bad, problem) in [
        ("query{deployment(id:1){idd}}", "Deployment has no idd"),
        ("query{deployment{id}}", "Query.deployment needs id"),
        ("query{deployment(id:1,x:2){id}}", "Query.deployment takes no x"),
        ("query{deployment(id:1)}", "Query.deployment is a Deployment"),
        ("mutation{deploymentRollback(id:1){id}}", "Mutation.deploymentRollback is a Boolean"),
    ] {
        assert!(schema.problems(bad).iter().any(|one| one == problem), "{bad}: {:?}", schema.problems(bad));
    }
    let answer = serde_json::json!({ "deployment": { "id": null, "status": "GREEN", "instances": [] } });
    let problems = schema.problems_of_answer(good, &answer);
    assert_eq!(problems, ["Deployment.id is never null", "Deployment.status is never GREEN"]);
}
