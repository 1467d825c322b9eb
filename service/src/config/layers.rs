//! The layers and how they become typed sections: merged, read strictly, and every misfit reported at once.

use super::problem::{Problem, Problems};
use super::{Profile, Sections, Sources};
use ::config::{ConfigError, Environment, File, FileFormat};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The service's part of the tree; the trainer's stands beside it in default.yaml.
pub(super) const ROOT: &str = "service";
const VARIABLE_PREFIX: &str = "CXR_SERVICE__";

const DEFAULT: &str = include_str!("../../../config/default.yaml");
const DEVELOPMENT: &str = include_str!("../../../config/development.yaml");
const PRODUCTION: &str = include_str!("../../../config/production.yaml");

/// The sections, with the problems of those keys that had to be taken from the defaults to read the rest.
pub(super) fn read(sources: &Sources) -> Result<(Sections, Vec<Problem>), Problems> {
    let defaults = merge(&[yaml(DEFAULT)], None, &BTreeMap::new())?;
    let built_in = match sources.profile {
        Profile::Development => DEVELOPMENT,
        Profile::Production => PRODUCTION,
    };
    let file = sources.directory.as_deref().map(|directory| profile_file(directory, sources.profile));
    let file = file.transpose()?.flatten();
    let merged = merge(&[yaml(DEFAULT), yaml(built_in)], file.as_deref(), &sources.environment)?;
    let from_variables = sources.environment.keys().filter_map(|name| key_of(name)).collect();
    Reader { tree: merged, defaults, from_variables, problems: misspelt(&sources.environment) }.read()
}

/// The key below `service` that a variable sets.
fn key_of(variable: &str) -> Option<String> {
    let prefix = variable.get(..VARIABLE_PREFIX.len())?;
    let ours = prefix.eq_ignore_ascii_case(VARIABLE_PREFIX);
    ours.then(|| variable[VARIABLE_PREFIX.len()..].to_lowercase().replace("__", "."))
}

fn yaml(text: &str) -> File<::config::FileSourceString, FileFormat> {
    File::from_str(text, FileFormat::Yaml)
}

fn profile_file(directory: &Path, profile: Profile) -> Result<Option<std::path::PathBuf>, Problems> {
    if !directory.is_dir() {
        let found = format!("the folder {} does not exist", directory.display());
        return Err(whole(&found, "check --config-dir (CXR_CONFIG_DIR)"));
    }
    let file = directory.join(format!("{}.yaml", profile.name()));
    if !file.exists() {
        let found = format!("the folder {} holds no {}.yaml", directory.display(), profile.name());
        return Err(whole(&found, "add that file, or omit --config-dir (CXR_CONFIG_DIR)"));
    }
    Ok(Some(file))
}

/// Sections of the tree: the service's and, where one file serves both programs, the trainer's.
const SECTIONS: [&str; 2] = [ROOT, "trainer"];

/// Names that look like ours and are not: whoever misspells one believes that it is set.
fn misspelt(environment: &BTreeMap<String, String>) -> Vec<Problem> {
    let ours = |name: &str| {
        let name = name.to_uppercase();
        let Some(rest) = name.strip_prefix("CXR_") else { return false };
        let section = rest.split_once("__").map(|(section, _)| section);
        match section {
            Some(section) => !SECTIONS.iter().any(|known| known.eq_ignore_ascii_case(section)),
            // Kubernetes sets CXR_SERVICE_HOST and CXR_SERVICE_PORT.. for a service of the name cxr.
            None => {
                rest.strip_prefix("SERVICE_").is_some_and(|rest| rest != "HOST" && !rest.starts_with("PORT"))
            }
        }
    };
    let problem = |name: &String| {
        let advice = "a key's variable is its path in capitals: service.http.bind is CXR_SERVICE__HTTP__BIND";
        Problem { key: name.clone(), found: "does not match any key".into(), advice: advice.into() }
    };
    environment.keys().filter(|name| ours(name)).map(problem).collect()
}

fn merge(
    built_in: &[File<::config::FileSourceString, FileFormat>],
    file: Option<&Path>,
    variables: &BTreeMap<String, String>,
) -> Result<Value, Problems> {
    let mut builder = ::config::Config::builder();
    for source in built_in {
        builder = builder.add_source(source.clone());
    }
    if let Some(path) = file {
        builder = builder.add_source(File::from(path).format(FileFormat::Yaml));
    }
    let ours = variables.iter().filter(|(name, _)| key_of(name).is_some());
    let ours = ours.map(|(name, value)| (name.clone(), value.clone())).collect();
    let environment =
        Environment::with_prefix("CXR").prefix_separator("_").separator("__").source(Some(ours));
    let merged = builder.add_source(environment).build().and_then(|all| {
        let tree: BTreeMap<String, Value> = all.try_deserialize()?;
        Ok(tree)
    });
    let mut tree = merged.map_err(|error| {
        // The parser's own words may quote the file, and the file may hold a secret: only the place is told.
        let found = match (error, file) {
            (ConfigError::FileParse { cause, .. }, Some(path)) => {
                let told = cause.to_string();
                let place = told.rsplit_once(" line ").map(|(_, place)| format!(", line {place}"));
                format!("{} is not valid YAML{}", path.display(), place.unwrap_or_default())
            }
            _ => "the layers cannot be merged".to_owned(),
        };
        whole(&found, "put everything under the key `service`, as in config/default.yaml")
    })?;
    if let Some(unknown) = tree.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
        let found = format!("unknown section {unknown}");
        return Err(whole(&found, "put everything under the key `service`, as in config/default.yaml"));
    }
    Ok(tree.remove(ROOT).unwrap_or_default())
}

/// A problem of the whole and of no key.
fn whole(found: &str, advice: &str) -> Problems {
    Problems(vec![Problem { key: ROOT.to_owned(), found: found.to_owned(), advice: advice.to_owned() }])
}

/// Reads the tree; each misfit is noted and replaced by the default, so that the next one shows as well.
struct Reader {
    tree: Value,
    defaults: Value,
    from_variables: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Reader {
    fn read(mut self) -> Result<(Sections, Vec<Problem>), Problems> {
        let mut repaired = BTreeSet::new();
        loop {
            let error = match serde_path_to_error::deserialize::<_, Sections>(self.tree.clone()) {
                Ok(sections) => return Ok((sections, self.problems)),
                Err(error) => error,
            };
            let (path, message) = (error.path().to_string(), error.inner().to_string());
            if self.read_variable_as_number(&path) {
                continue;
            }
            self.note(&path, &message);
            if !repaired.insert((path.clone(), message)) || !self.restore_default(&path) {
                return Err(Problems(self.problems));
            }
        }
    }

    /// A variable is text; where text does not fit and it reads as a number or a switch, that is what it means.
    fn read_variable_as_number(&mut self, path: &str) -> bool {
        let from_variable = self.from_variables.contains(path);
        let Some(node) = find(&mut self.tree, path).filter(|_| from_variable) else { return false };
        let parsed = node.as_str().and_then(|text| serde_json::from_str::<Value>(text.trim()).ok());
        match parsed {
            Some(value @ (Value::Number(_) | Value::Bool(_))) => {
                *node = value;
                true
            }
            _ => false,
        }
    }

    fn note(&mut self, path: &str, message: &str) {
        // serde quotes the value before "expected" and describes the type after it.
        let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
        let found = match find(&mut self.tree, path) {
            _ if message.starts_with("unknown field") => "unknown key".to_owned(),
            _ if message.starts_with("missing field") => "missing".to_owned(),
            Some(node) => format!("{} that does not fit", kind(node)),
            None => "missing".to_owned(),
        };
        let advice = match expected {
            Some(expected) => format!("expected {}", in_words(expected)),
            None => "see docs/CONFIG.md for the form of this key".to_owned(),
        };
        self.problems.push(Problem::new(path, &found, &advice));
    }

    /// Puts the default back, or takes an unknown key out.
    fn restore_default(&mut self, path: &str) -> bool {
        let default = find(&mut self.defaults, path).map(|value| value.clone());
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        match default {
            Some(default) => find(&mut self.tree, path).map(|node| *node = default).is_some(),
            None => find(&mut self.tree, parent)
                .and_then(Value::as_object_mut)
                .and_then(|fields| fields.remove(name))
                .is_some(),
        }
    }
}

/// What serde expects, without the names of Rust's types.
fn in_words(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        _ if expected.starts_with("a nonzero") => "a whole number, 1 or more",
        _ if expected.starts_with("struct ") => "a group of keys",
        _ => expected,
    }
}

fn find<'a>(tree: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').filter(|name| !name.is_empty()).try_fold(tree, |node, name| node.get_mut(name))
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing (null)",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a group of keys",
    }
}
