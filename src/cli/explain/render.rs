//! An explanation, for people.

use std::fmt::Write as _;

use serde_json::Value;

/// The whole text. It is made from the answer's JSON, which is all that a running sidecar tells.
pub(super) fn text(request: &str, explanation: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // A string takes everything.
            let _ = writeln!(text, "{name:<12} {value}");
        }
    };
    line("request", request);
    line("generation", &explanation["generation"].to_string());
    line("source", string(&explanation["source"]));
    let key = &explanation["key"];
    if key.is_object() {
        line("key", &known(key));
        line(
            "state",
            if key["active"] == true {
                "active"
            } else {
                "not good now"
            },
        );
    }
    line("route", string(&explanation["route"]));
    text.push('\n');
    for step in list(&explanation["steps"]) {
        text.push_str(&told(step));
    }
    text.push('\n');
    text.push_str(&end(explanation));
    text
}

fn known(key: &Value) -> String {
    let mut known = format!("{} ({})", string(&key["id"]), string(&key["name"]));
    for name in ["organization", "environment", "plan"] {
        if let Some(value) = key[name].as_str() {
            let _ = write!(known, ", {name} {value}");
        }
    }
    known
}

fn told(step: &Value) -> String {
    let mark = match string(&step["outcome"]) {
        "passed" => "ok",
        "refused" => "NO",
        _ => "(no)",
    };
    let mut line = format!("  {mark:<5}{:<17}{}", string(&step["rule"]), string(&step["found"]));
    if let Some(code) = step["code"].as_str() {
        let _ = write!(line, "  => {code}");
        if let Some(reason) = step["reason"].as_str() {
            let _ = write!(line, " ({reason})");
        }
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

fn end(explanation: &Value) -> String {
    let forward = &explanation["forward"];
    if forward.is_object() {
        let observed = match explanation["code"].as_str() {
            Some(code) => format!(", although enforcing would refuse it: {code}"),
            None => String::new(),
        };
        let mut text = format!(
            "It would go to upstream {} ({}) as {}{observed}\n",
            string(&forward["upstream"]),
            string(&forward["authority"]),
            string(&forward["status"]),
        );
        for pair in list(&forward["identity"]) {
            let _ = writeln!(text, "  {}: {}", string(&pair[0]), string(&pair[1]));
        }
        if forward["answer_headers"].as_object().is_some_and(|all| !all.is_empty()) {
            text.push_str("and its answer would carry\n");
            text.push_str(&fields(&forward["answer_headers"]));
        }
        return text;
    }
    let answer = &explanation["answer"];
    let verdict = match string(&explanation["verdict"]) {
        "answer" => "Keygate itself would answer:",
        "fail" => "It could not be decided:",
        _ => "It would be refused:",
    };
    let verdict = format!("{verdict} {}", string(&explanation["code"]));
    format!(
        "{}\n  {}\n{}\n  {}\n",
        verdict.trim_end(),
        answer["status"],
        fields(&answer["headers"]),
        string(&answer["body"]).trim_end(),
    )
}

fn fields(headers: &Value) -> String {
    let mut text = String::new();
    for (name, values) in headers.as_object().into_iter().flatten() {
        for value in list(values) {
            let _ = writeln!(text, "  {name}: {}", string(value));
        }
    }
    text
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
