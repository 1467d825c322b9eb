//! Markdown from Jinja templates, for the report and the model card. A missing value is an error: a template
//! must handle what was not measured.

use anyhow::{Context, Result};
use cxr::analysis::scoring::proportion::Proportion;
use cxr::analysis::summary::Summary;
use cxr::bundle::Measured;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use std::fmt::Write as _;

pub(crate) type Templates = [(&'static str, &'static str)];

/// Replaces a figure that is undefined on the images.
const NOT_POSSIBLE: &str = "none: undefined on these images";

/// An environment with these templates, and with these filters:
///
/// | filter | result |
/// |---|---|
/// | `measured`, `measured("-")` | value with 95 % interval; the argument replaces `none` |
/// | `proportion` | counts, share and 95 % interval |
/// | `range(n)`, `spread` | minimum, maximum and median; median with 5th and 95th percentile |
/// | `fixed(n)`, `fixed(n, "-")`, `signed(n)`, `scientific(n)` | n decimals; the argument replaces `none` |
/// | `percent` | a share in per cent without decimals |
/// | `plain`, `json` | the value as text; as JSON |
/// | `counts`, `settings` | a map as `key value, key value`; with the keys as code |
///
/// The function `row(a, b, ...)` writes a row of a table and escapes its cells.
pub(crate) fn environment(templates: &Templates) -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_formatter(|out, _, value| Ok(write!(out, "{}", plain(value)?)?));
    environment.add_filter("measured", |figure: Serde<Option<Measured>>, none: Option<String>| {
        figure.as_ref().map_or_else(|| none.unwrap_or_else(|| NOT_POSSIBLE.to_owned()), measured)
    });
    environment.add_filter("proportion", |found: Serde<Option<Proportion>>| {
        found.as_ref().map_or_else(
            || NOT_POSSIBLE.to_owned(),
            |Proportion { k, n, value, ci95: [low, high] }| {
                format!("{k} of {n} ({value:.3} [{low:.3}, {high:.3}])")
            },
        )
    });
    environment.add_filter("range", |found: Serde<Summary>, digits: usize| {
        let Summary { min, median, max, .. } = *found;
        format!("{min:.digits$} to {max:.digits$}, median {median:.digits$}")
    });
    environment.add_filter("spread", |found: Serde<Option<Summary>>| {
        let text = |Summary { median, p05, p95, .. }: &Summary| format!("{median:.3} [{p05:.3}, {p95:.3}]");
        found.as_ref().map_or_else(String::new, text)
    });
    environment.add_filter("fixed", |value: Option<f64>, digits: usize, none: Option<String>| {
        let missing = || Error::new(ErrorKind::InvalidOperation, "a number is missing");
        value.map(|value| format!("{value:.digits$}")).or(none).ok_or_else(missing)
    });
    environment.add_filter("signed", |value: f64, digits: usize| format!("{value:+.digits$}"));
    environment.add_filter("scientific", |value: f64, digits: Option<usize>| match digits {
        Some(digits) => format!("{value:.digits$e}"),
        None => format!("{value:e}"),
    });
    environment.add_filter("percent", |share: f64| format!("{:.0} %", share * 100.0));
    environment.add_filter("plain", plain);
    environment.add_filter("json", json);
    environment.add_filter("counts", |map: &Value| pairs(map, |key| key));
    environment.add_filter("settings", |map: &Value| pairs(map, |key| format!("`{key}`")));
    environment.add_function("row", |cells: Rest<Value>| row(&cells));
    for (name, text) in templates {
        environment.add_template(name, text).with_context(|| format!("the template {name}"))?;
    }
    Ok(environment)
}

pub(crate) fn render(environment: &Environment, name: &str, values: Value) -> Result<String> {
    let text = environment.get_template(name)?.render(values);
    Ok(tidy(&text.with_context(|| format!("the template {name}"))?))
}

pub(crate) fn measured(figure: &Measured) -> String {
    let [low, high] = figure.ci95;
    format!("{:.4} [{low:.4}, {high:.4}]", figure.value)
}

/// Numbers as Rust prints them: 5, not 5.0.
fn plain(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::None => Err(Error::new(ErrorKind::InvalidOperation, "a value is missing")),
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::Number if !value.is_integer() => Ok(f64::try_from(value.clone())?.to_string()),
        _ => Ok(value.to_string()),
    }
}

fn json(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

fn pairs(map: &Value, key: impl Fn(String) -> String) -> Result<String, Error> {
    let mut texts = Vec::new();
    for name in map.try_iter()? {
        let value = map.get_item(&name)?;
        let value = match value.kind() {
            ValueKind::String => value.to_string(),
            _ => json(&value)?,
        };
        texts.push(format!("{} {value}", key(name.to_string())));
    }
    Ok(if texts.is_empty() { "none".to_owned() } else { texts.join(", ") })
}

fn row(cells: &[Value]) -> Result<String, Error> {
    let mut text = String::from("|");
    for cell in cells {
        let cell = plain(cell)?.replace('|', "\\|").replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = write!(text, " {cell} |");
    }
    Ok(text)
}

/// Joins the lines of each paragraph and list item and removes repeated blank lines, which wrapping and
/// control lines of templates leave. Fenced code blocks stay unchanged.
fn tidy(text: &str) -> String {
    let starts_a_block = |line: &str| ["#", "- ", "|", "![", ">"].iter().any(|mark| line.starts_with(mark));
    let (mut lines, mut in_code) = (vec![String::new()], false);
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        if is_fence || in_code {
            in_code ^= is_fence;
            lines.push(line.to_owned());
            continue;
        }
        let line = line.trim();
        let before = lines.last().map_or("", String::as_str);
        let is_closed = before.is_empty() || ["#", "|", "```"].iter().any(|mark| before.starts_with(mark));
        if line.starts_with('#') && !before.is_empty() {
            lines.push(String::new());
        }
        match lines.last_mut() {
            Some(before) if before.is_empty() && line.is_empty() => {}
            Some(before) if !is_closed && !line.is_empty() && !starts_a_block(line) => {
                let _ = write!(before, " {line}");
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n").trim().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn rendered(template: &'static str) -> Result<String> {
        let environment = environment(&[("test", template)])?;
        let figure = Measured { value: 0.5, ci95: [0.25, 1.0], n: 4 };
        render(
            &environment,
            "test",
            context! { figure => Serde(figure), none => Value::from(()), rate => 5.0 },
        )
    }

    #[test]
    fn lines_of_a_block_are_joined_and_blocks_are_apart() {
        let template = "# T\n\n\n{% if rate > 1 %}\nA rate\n  of {{ rate }}.\n{% endif %}\n\n| a | b |\n|---|---|\n{{ row(1, \"x|y\") }}\n\n\n\
            - **one:**\n  {{ figure|measured }}\n- **two:** {{ none|measured(\"-\") }}\n\n```yaml\na:\n\n\n  - b\n```\n";
        let expected = "# T\n\nA rate of 5.\n\n| a | b |\n|---|---|\n| 1 | x\\|y |\n\n\
            - **one:** 0.5000 [0.2500, 1.0000]\n- **two:** -\n\n```yaml\na:\n\n\n  - b\n```\n";
        assert_eq!(rendered(template).unwrap(), expected);
    }

    #[test]
    fn a_missing_value_is_an_error() {
        for template in ["{{ none }}", "{{ nowhere }}", "{{ figure.nowhere }}", "{{ none|fixed(2) }}"] {
            assert!(rendered(template).is_err(), "{template}");
        }
    }
}
