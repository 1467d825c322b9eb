//! Every expression of the rules and dashboards, and the metrics that they name.

use crate::rules::rules;
use crate::{deploy, files};
use promql_parser::parser::{Expr, VectorSelector, parse};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

/// An expression and where it stands.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) place: String,
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Panel,
    Recording,
    /// Empty unless something is wrong or has changed.
    Condition,
}

/// Replaces the variables of dashboards: everything is chosen.
fn substituted(text: &str) -> String {
    let text = text.replace("$__rate_interval", "1m");
    let text = ["site", "version", "variant", "slice"]
        .iter()
        .fold(text, |text, variable| text.replace(&format!("${variable}"), ".*"));
    assert!(!text.contains('$'), "a variable that nothing replaces: {text}");
    text
}

fn collect(value: &Value, place: &str, kind: Kind, found: &mut Vec<Expression>) {
    match value {
        Value::Object(fields) => {
            let title = fields.get("title").and_then(Value::as_str).unwrap_or_default();
            let place = if title.is_empty() { place.to_owned() } else { format!("{place}: {title}") };
            if let Some(text) = fields.get("expr").and_then(Value::as_str) {
                found.push(Expression { place: place.clone(), text: substituted(text), kind });
            }
            for (key, value) in fields {
                collect(value, &place, if key == "annotations" { Kind::Condition } else { kind }, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, place, kind, found)),
        _ => {}
    }
}

pub(crate) fn expressions() -> Vec<Expression> {
    let mut found = Vec::new();
    for rule in rules() {
        let place = rule.record.clone().or(rule.alert.clone()).unwrap();
        let kind = if rule.alert.is_some() { Kind::Condition } else { Kind::Recording };
        found.push(Expression { place, text: rule.expr, kind });
    }
    for path in files(&deploy("grafana/dashboards"), "json") {
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        collect(&dashboard, name, Kind::Panel, &mut found);
    }
    found
}

struct Selectors(Vec<VectorSelector>);

impl ExprVisitor for Selectors {
    type Error = std::convert::Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
        match expr {
            Expr::VectorSelector(selector) => self.0.push(selector.clone()),
            Expr::MatrixSelector(matrix) => self.0.push(matrix.vs.clone()),
            _ => {}
        }
        Ok(true)
    }
}

/// The selectors in an expression, without offsets.
pub(crate) fn selectors(expression: &Expression) -> Vec<VectorSelector> {
    let parsed = parse(&expression.text)
        .unwrap_or_else(|error| panic!("{}: {error}\n{}", expression.place, expression.text));
    let mut selectors = Selectors(Vec::new());
    let Ok(_) = walk_expr(&mut selectors, &parsed);
    selectors.0.into_iter().map(|selector| VectorSelector { offset: None, at: None, ..selector }).collect()
}

#[test]
fn every_expression_parses_and_names_metrics() {
    let expressions = expressions();
    assert!(expressions.len() > 200, "{}", expressions.len());
    for expression in &expressions {
        let without = expression.text == "vector(1)";
        assert!(without || !selectors(expression).is_empty(), "{expression:?}");
    }
}
