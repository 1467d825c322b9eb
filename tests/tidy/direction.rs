//! The direction of imports between the rooms of a crate, by the lists in ARCHITECTURE.md under "Direction".

use crate::{fences::code, read, tracked};
use std::collections::BTreeSet;
use std::path::{Component, Path};

const LISTS: &str = "docs/ARCHITECTURE.md";

/// The rooms of a crate, a level per line, the top first. A room may import the rooms of lower levels.
#[derive(Debug, PartialEq)]
struct Levels<'a> {
    /// Folder of the crate's source, such as `service/src`.
    folder: &'a str,
    rooms: Vec<Vec<&'a str>>,
}

/// The lists: each is a line with the folder in backticks, and a fenced block with a level per line.
fn lists(document: &str) -> Vec<Levels<'_>> {
    let section = document.split("\n## Direction\n").nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let (mut lists, mut in_block) = (Vec::<Levels<'_>>::new(), false);
    for line in section.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block && let Some(list) = lists.last_mut() {
            list.rooms.push(line.split(',').map(str::trim).collect());
        } else if let Some(folder) = line.strip_prefix('`').and_then(|line| line.strip_suffix("`:")) {
            lists.push(Levels { folder, rooms: Vec::new() });
        }
    }
    lists
}

impl Levels<'_> {
    /// Depth of a room from the top.
    fn level(&self, room: &str) -> Option<usize> {
        self.rooms.iter().position(|level| level.contains(&room))
    }

    /// What is wrong with the imports of a file in `room`, whose module is `depth` levels below the crate
    /// root.
    fn broken(&self, file: &str, room: &str, depth: usize, code: &str) -> Vec<String> {
        let Some(level) = self.level(room) else {
            return vec![format!("{file}: add the room {room} to {LISTS}, Direction")];
        };
        let imports = imports(code, depth);
        let upward = imports.iter().filter(|import| {
            import.as_str() != room && self.level(import).is_some_and(|imported| imported <= level)
        });
        let rule = |import: &String| {
            format!(
                "{file} imports crate::{import}: {room} may import only rooms below it ({LISTS}, Direction)"
            )
        };
        upward.map(rule).collect()
    }
}

/// Rooms that the code names, by `crate::room`, `crate::{room, ..}` or enough `super::` to reach the crate
/// root.
fn imports(code: &str, depth: usize) -> BTreeSet<String> {
    let root = "super::".repeat(depth);
    let mut found = BTreeSet::new();
    for start in ["crate::", root.as_str()] {
        for (at, _) in code.match_indices(start) {
            // `$crate::` is this crate as well; a longer name, or a longer chain of `super::`, is not.
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || (c == ':' && start != "crate::")) {
                continue;
            }
            found.extend(first_names(&code[at + start.len()..]));
        }
    }
    found
}

/// The first name of a path, or of each path in braces.
fn first_names(path: &str) -> Vec<String> {
    let name = |path: &str| path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(list) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut names, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                names.push(name(list[begin..at].trim_start()));
                begin = at + 1;
            }
            '}' if depth == 0 => {
                names.push(name(list[begin..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

/// Module path of a source file below the crate root; none for the roots themselves and for tests.
fn modules(file: &Path, folder: &str) -> Option<Vec<String>> {
    let inside = file.strip_prefix(folder).ok()?.with_extension("");
    let modules: Vec<String> = inside
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str().map(str::to_owned),
            _ => None,
        })
        .filter(|name| name != "mod")
        .collect();
    let is_root = matches!(modules.as_slice(), [root] if root == "lib" || root == "main");
    let is_test = modules.iter().any(|name| name == "tests");
    (!is_root && !is_test).then_some(modules)
}

#[test]
fn rooms_import_only_rooms_below_them() {
    let document = read(Path::new(LISTS));
    let lists = lists(&document);
    assert!(
        lists.iter().any(|list| list.folder == "service/src"),
        "{LISTS} has no list of the service's rooms"
    );
    let mut broken = Vec::new();
    for list in &lists {
        let mut present = BTreeSet::new();
        for file in tracked(".rs") {
            let Some(modules) = modules(&file, list.folder) else { continue };
            let Some(room) = modules.first() else { continue };
            broken.extend(list.broken(&file.display().to_string(), room, modules.len(), &code(&file)));
            present.insert(room.clone());
        }
        let listed = list.rooms.iter().flatten();
        let gone = listed.filter(|room| !present.contains(**room));
        broken.extend(gone.map(|room| format!("{LISTS}, Direction: {} has no room {room}", list.folder)));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn an_import_against_the_direction_is_found() {
    let document =
        "# A\n\n## Direction\n\nText.\n\n`a/src`:\n\n```text\napp\nhttp, pipeline\nstore\n```\n\n## B\n";
    let lists = lists(document);
    let rooms = vec![vec!["app"], vec!["http", "pipeline"], vec!["store"]];
    assert_eq!(lists, [Levels { folder: "a/src", rooms }]);
    let broken = |room, depth, code| lists[0].broken("file", room, depth, code).len();
    assert_eq!(broken("http", 1, "use crate::store::Store;\nuse crate::http::Api;"), 0);
    assert_eq!(broken("store", 1, "use crate::http::Api;"), 1);
    assert_eq!(broken("store", 1, "use crate::{app::{App, http}, http::Api};"), 2);
    assert_eq!(broken("http", 1, "use crate::pipeline::Pipeline;"), 1, "rooms of one level");
    assert_eq!(broken("store", 2, "use super::super::http::Api;\nuse super::http;"), 1);
    assert_eq!(broken("store", 1, "fn f(api: &other_crate::http::Api) {}"), 0);
    assert_eq!(broken("unknown", 1, ""), 1);
}
