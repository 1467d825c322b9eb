//! The configuration as MLflow parameters.

use super::event::StringMap;
use cxr::bundle::sha256_hex;
use serde_json::Value;

/// Longest parameter value that every version of MLflow accepts.
const MAX_CHARACTERS: usize = 500;

/// Flattens a tree to MLflow parameters by dotted path. A list of scalars stays one value. Long values are
/// cut and marked as such.
pub fn flatten(tree: &Value) -> StringMap {
    let mut texts = StringMap::new();
    collect(tree, String::new(), &mut texts);
    texts
}

fn collect(value: &Value, path: String, texts: &mut StringMap) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let is_tree = |value: &Value| value.is_object() || value.is_array();
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            entries.iter().for_each(|(key, value)| collect(value, below(key), texts));
        }
        Value::Array(items) if items.iter().any(is_tree) => {
            items.iter().enumerate().for_each(|(at, item)| collect(item, below(&at.to_string()), texts));
        }
        Value::String(text) => drop(texts.insert(path, shortened(text))),
        other => drop(texts.insert(path, shortened(&other.to_string()))),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_CHARACTERS {
        return text.to_owned();
    }
    let mark = format!("... (cut; SHA-256 {})", sha256_hex(text.as_bytes()));
    text.chars().take(MAX_CHARACTERS - mark.len()).chain(mark.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree_becomes_dotted_paths() {
        let long = "x".repeat(501);
        let tree = json!({
            "seed": 42,
            "model": { "weights": null, "scale": [0.95, 1.05], "blocks": [{ "n": 1 }, { "n": 2 }] },
            "long": long,
        });
        let texts = flatten(&tree);
        let expected = [
            ("seed", "42"),
            ("model.weights", "null"),
            ("model.scale", "[0.95,1.05]"),
            ("model.blocks.1.n", "2"),
        ];
        for (key, value) in expected {
            assert_eq!(texts[key], value, "{texts:?}");
        }
        assert_eq!(texts["long"].chars().count(), MAX_CHARACTERS);
        assert!(texts["long"].contains(&sha256_hex(long.as_bytes())));
    }
}
