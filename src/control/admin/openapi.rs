//! `GET /admin/v1/openapi.json`: what this API is, exactly (OpenAPI 3.1).
//!
//! Written by hand, because it is a contract, not a reflection of whatever the types happen to be; tests hold it to the
//! table of routes and to what the running listener answers.

use http::Request;

use super::answers::{self, Answer};
use super::problem::Problem;
use super::query::Query;

const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn show<B>(request: &Request<B>) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    Ok(answers::document(DOCUMENT))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::routes::Route;
    use super::DOCUMENT;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn it_describes_every_route_and_nothing_else() {
        let document = document();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if method != "parameters" {
                    let role = operation["x-role"].as_str().unwrap();
                    described.insert(format!("{} {path} {role}", method.to_uppercase()));
                }
            }
        }
        let routes: BTreeSet<String> = Route::ALL
            .iter()
            .map(|route| format!("{} {} {}", route.method(), route.path(), route.role()))
            .collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_operation_can_be_refused_and_every_object_is_closed() {
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        for (method, operation) in paths.values().flat_map(|methods| methods.as_object().unwrap()) {
            if method == "parameters" {
                continue;
            }
            let answers = operation["responses"].as_object().unwrap();
            let mut expected = vec!["400", "401", "403", "404", "405", "429"];
            if method == "post" {
                expected.extend(["413", "415"]);
            }
            for status in expected {
                assert!(answers.contains_key(status), "{}: {status}", operation["operationId"]);
            }
        }
        closed(&document["components"]["schemas"], "schemas");
    }

    fn closed(value: &Value, at: &str) {
        if value["type"] == "object" && value.get("properties").is_some() {
            assert_eq!(value["additionalProperties"], false, "{at}");
        }
        match value {
            Value::Object(fields) => fields
                .iter()
                .for_each(|(name, value)| closed(value, &format!("{at}.{name}"))),
            Value::Array(items) => items.iter().for_each(|value| closed(value, at)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
