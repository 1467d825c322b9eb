//! Merges the layers and reads them into typed sections. All values that do not fit are reported together.

use super::error::{Findings, Misconfiguration, Misconfigurations};
use super::secret::Secret;
use super::values::Refusal;
use super::{Config, Profile, Sources};
use ::config::{ConfigError, Environment, File, FileFormat};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The service's part of the tree; the trainer's is beside it in default.yaml.
pub(super) const ROOT: &str = "service";
const VARIABLE_PREFIX: &str = "CXR_SERVICE__";

pub(super) const DEFAULT: &str = include_str!("../../../config/default.yaml");
const DEVELOPMENT: &str = include_str!("../../../config/development.yaml");
pub(super) const PRODUCTION: &str = include_str!("../../../config/production.yaml");

/// With the development profile, a valid value for every key. It stands in for one that was refused while the
/// rest is read. A configuration with a stand-in has a problem and is never served.
const STAND_INS: &str =
    "service: { database: { url: postgres://none/none }, model: { onnxruntime_library: none } }";

/// The configuration, with the problems of its values; `parts` are the sections that must be complete.
pub(super) fn read<'a>(
    sources: &Sources,
    parts: &'a [&'a str],
) -> Result<(Config, Findings<'a>), Misconfigurations> {
    let file = sources.directory.as_deref().map(|directory| profile_file(directory, sources.profile));
    let file = file.transpose()?;
    let built_in = match sources.profile {
        Profile::Development => DEVELOPMENT,
        Profile::Production => PRODUCTION,
    };
    let mut tree = merge(&[DEFAULT, built_in], file.as_deref(), &sources.environment)?;
    let library = sources.environment.get("ORT_DYLIB_PATH");
    if let (Some(node), Some(path)) = (find(&mut tree, "model.onnxruntime_library"), library)
        && node.is_null()
    {
        *node = path.as_str().into();
    }
    Reader {
        tree,
        stand_ins: merge(&[DEFAULT, DEVELOPMENT, STAND_INS], None, &BTreeMap::new())?,
        from_variables: sources.environment.keys().filter_map(|name| key_of(name)).collect(),
        findings: Findings { parts, problems: misspelt(&sources.environment) },
    }
    .read()
}

/// The key that a variable sets, relative to `service`.
fn key_of(variable: &str) -> Option<String> {
    let prefix = variable.get(..VARIABLE_PREFIX.len())?;
    let ours = prefix.eq_ignore_ascii_case(VARIABLE_PREFIX);
    ours.then(|| variable[VARIABLE_PREFIX.len()..].to_lowercase().replace("__", "."))
}

fn profile_file(directory: &Path, profile: Profile) -> Result<PathBuf, Misconfigurations> {
    if !directory.is_dir() {
        let found = format!("the folder {} does not exist", directory.display());
        return Err(whole(&found, "check --config-dir (CXR_CONFIG_DIR)"));
    }
    let file = directory.join(format!("{}.yaml", profile.name()));
    if !file.exists() {
        let found = format!("the folder {} holds no {}.yaml", directory.display(), profile.name());
        return Err(whole(&found, "add that file, or omit --config-dir (CXR_CONFIG_DIR)"));
    }
    Ok(file)
}

/// Sections of the tree: the service's and, where one file serves both programs, the trainer's.
const SECTIONS: [&str; 2] = [ROOT, "trainer"];

/// Variables that look like keys but match none: a misspelt one would silently have no effect.
fn misspelt(environment: &BTreeMap<String, String>) -> Vec<Misconfiguration> {
    let ours = |name: &str| {
        let name = name.to_uppercase();
        let Some(rest) = name.strip_prefix("CXR_") else { return false };
        match rest.split_once("__") {
            Some((section, _)) => !SECTIONS.iter().any(|known| known.eq_ignore_ascii_case(section)),
            // Kubernetes sets CXR_SERVICE_HOST and CXR_SERVICE_PORT.. for a Service named cxr.
            None => {
                rest.strip_prefix("SERVICE_").is_some_and(|rest| rest != "HOST" && !rest.starts_with("PORT"))
            }
        }
    };
    let problem = |name: &String| {
        let advice = "a key's variable is its path in capitals: service.http.bind is CXR_SERVICE__HTTP__BIND";
        Misconfiguration { key: name.clone(), found: "does not match any key".into(), advice: advice.into() }
    };
    environment.keys().filter(|name| ours(name)).map(problem).collect()
}

pub(super) fn merge(
    built_in: &[&str],
    file: Option<&Path>,
    variables: &BTreeMap<String, String>,
) -> Result<Value, Misconfigurations> {
    let mut builder = ::config::Config::builder();
    for text in built_in {
        builder = builder.add_source(File::from_str(text, FileFormat::Yaml));
    }
    if let Some(path) = file {
        builder = builder.add_source(File::from(path).format(FileFormat::Yaml));
    }
    let ours = variables.iter().filter(|(name, _)| key_of(name).is_some());
    let ours = ours.map(|(name, value)| (name.clone(), value.clone())).collect();
    let environment =
        Environment::with_prefix("CXR").prefix_separator("_").separator("__").source(Some(ours));
    let merged = builder.add_source(environment).build();
    let merged = merged.and_then(::config::Config::try_deserialize::<BTreeMap<String, Value>>);
    let mut tree = merged.map_err(|error| {
        // The parser's message may quote the file, which may hold a secret: report only the position.
        let found = match (error, file) {
            (ConfigError::FileParse { cause, .. }, Some(path)) => {
                let message = cause.to_string();
                let place = message.rsplit_once(" line ").map(|(_, place)| format!(", line {place}"));
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

/// A problem that belongs to no single key.
fn whole(found: &str, advice: &str) -> Misconfigurations {
    Misconfigurations(vec![Misconfiguration {
        key: ROOT.to_owned(),
        found: found.to_owned(),
        advice: advice.to_owned(),
    }])
}

/// Reads the tree. A value that does not fit is reported and replaced by a stand-in, to find the next one.
struct Reader<'a> {
    tree: Value,
    stand_ins: Value,
    from_variables: BTreeSet<String>,
    findings: Findings<'a>,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Result<(Config, Findings<'a>), Misconfigurations> {
        let mut tree = std::mem::take(&mut self.tree);
        self.read_secret_files("", &mut tree);
        self.tree = tree;
        let mut repaired = BTreeSet::new();
        loop {
            let error = match serde_path_to_error::deserialize::<_, Config>(self.tree.clone()) {
                Ok(config) => return Ok((config, self.findings)),
                Err(error) => error,
            };
            let (path, message) = (error.path().to_string(), error.inner().to_string());
            let refusal = Refusal::parse(&message);
            // A refusal means that the type was right.
            if refusal.is_none() && self.read_variable_as_number(&path) {
                continue;
            }
            match refusal {
                Some(Refusal { found, advice }) => self.findings.require(false, &path, &found, &advice),
                None => self.note_misfit(&path, &message),
            }
            if !repaired.insert((path.clone(), message)) || !self.replace(&path) {
                return Err(Misconfigurations(self.findings.problems));
            }
        }
    }

    /// In a pair of keys such as `url` and `url_file`, the second names a file that holds the first.
    fn read_secret_files(&mut self, group: &str, tree: &mut Value) {
        let Value::Object(fields) = tree else { return };
        for (name, value) in fields.iter_mut() {
            self.read_secret_files(&format!("{group}{name}."), value);
        }
        let pairs: Vec<String> =
            fields.keys().filter(|name| fields.contains_key(&format!("{name}_file"))).cloned().collect();
        for name in pairs {
            let key = format!("{group}{name}");
            if let Some(secret) = self.secret_of(&key, &name, fields) {
                fields.insert(name, secret);
            }
        }
    }

    fn secret_of(&mut self, key: &str, name: &str, fields: &Map<String, Value>) -> Option<Value> {
        let path = Path::new(fields.get(&format!("{name}_file"))?.as_str()?);
        if !fields.get(name)?.is_null() {
            self.findings.require(false, key, "set twice: here and by its _file key", "keep only one");
            return None;
        }
        match Secret::read(path) {
            Ok(secret) => Some(secret.expose().into()),
            Err(error) => {
                let found = format!("the file {} cannot be read ({})", path.display(), error.kind());
                let advice = "use a readable file with the secret";
                self.findings.require(false, &format!("{key}_file"), &found, advice);
                find(&mut self.stand_ins, key).cloned()
            }
        }
    }

    /// A variable is text. Where text does not fit, it is read as a number or a boolean.
    fn read_variable_as_number(&mut self, path: &str) -> bool {
        let from_variable = self.from_variables.contains(path);
        let Some(node) = find(&mut self.tree, path).filter(|_| from_variable) else { return false };
        let parsed = node.as_str().and_then(|text| serde_json::from_str::<Value>(text.trim()).ok());
        let parsed = parsed.filter(|value| value.is_number() || value.is_boolean());
        parsed.map(|value| *node = value).is_some()
    }

    fn note_misfit(&mut self, path: &str, message: &str) {
        // serde quotes the value before "expected" and describes the type after it.
        let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
        let found = match find(&mut self.tree, path) {
            _ if message.starts_with("unknown field") => "unknown key".to_owned(),
            _ if message.starts_with("missing field") => "missing".to_owned(),
            Some(Value::Number(number)) if message.starts_with("invalid value") => {
                format!("{number} is out of range")
            }
            Some(node) => format!("{} that does not fit", kind(node)),
            None => "missing".to_owned(),
        };
        let advice = match expected {
            Some(expected) => format!("expected {}", in_words(expected)),
            None => "see docs/CONFIG.md for the form of this key".to_owned(),
        };
        self.findings.problems.push(Misconfiguration::new(path, &found, &advice));
    }

    /// Replaces the value by a stand-in (a list as a whole), or removes an unknown key.
    fn replace(&mut self, path: &str) -> bool {
        let path = path.split('[').next().unwrap_or_default();
        let stand_in = find(&mut self.stand_ins, path).cloned();
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        match stand_in {
            Some(stand_in) => find(&mut self.tree, path).map(|node| *node = stand_in).is_some(),
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

/// The node at a path such as `auth.keys[0].kid`.
fn find<'a>(tree: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let mut names = path.split(['.', '[']).filter(|name| !name.is_empty());
    names.try_fold(tree, |node, name| match name.strip_suffix(']') {
        Some(index) => node.get_mut(index.parse::<usize>().ok()?),
        None => node.get_mut(name),
    })
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
