//! A production site, built by executing the commands, configuration and SQL of README.md and
//! docs/OPERATIONS.md.

use crate::postgres::Cluster;
use crate::server::{Options, binary, outcome};
use crate::tokens::KeyPair;
use crate::{root, tokens};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The database users of docs/OPERATIONS.md, each with the file of its URL.
const USERS: [(&str, &str); 5] = [
    ("cxr_owner", "owner-url"),
    ("cxr_service", "service-url"),
    ("cxr_reader", "reader-url"),
    ("cxr_watcher", "watcher-url"),
    ("cxr_dumper", "dumper-url"),
];

/// Password of every user.
pub const PASSWORD: &str = "pass-4711-word";

/// Folders and a cluster of its own, because roles belong to a cluster.
pub struct Site {
    /// The folder of everything but the database.
    pub folder: TempDir,
    /// The Postgres, which requires passwords.
    pub cluster: Cluster,
    /// The identity provider's key.
    pub provider: KeyPair,
}

impl Site {
    /// A site before the migration.
    pub fn prepared() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let provider = KeyPair::new(jsonwebtoken::Algorithm::EdDSA, folder.path());
        let cluster = Cluster::start();
        let site = Self { folder, cluster, provider };
        let readme = std::fs::read_to_string(root().join("README.md")).expect("the page");
        let section = readme.split("\n## ").find(|section| section.starts_with("Run it")).expect("Run it");
        let install = &blocks(section, "sh")[0];
        let install: Vec<&str> = install.lines().filter(|line| !line.starts_with("cargo build")).collect();
        site.shell(&install.join("\n"));
        let yaml = site.here(&blocks(section, "yaml")[0]);
        std::fs::write(site.config().join("production.yaml"), yaml).expect("writing");
        site.make_users();
        site
    }

    /// A site after the commands of README.md: migrated and checked.
    pub fn migrated() -> Self {
        let site = Self::prepared();
        let readme = std::fs::read_to_string(root().join("README.md")).expect("the page");
        let section = readme.split("\n## ").find(|section| section.starts_with("Run it")).expect("Run it");
        let start = &blocks(section, "sh")[1];
        let commands: Vec<&str> =
            start.lines().filter(|line| !line.starts_with("cxr-service serve")).collect();
        assert!(commands.len() >= 3 && commands.len() + 1 == start.lines().count(), "{start}");
        site.shell(&commands.join("\n"));
        site
    }

    fn make_users(&self) {
        let page = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).expect("the page");
        for statement in blocks(&page, "sql")[0].split(";\n") {
            self.cluster.psql("postgres", statement);
        }
        for (user, file) in USERS {
            self.cluster.psql("postgres", &format!("alter role {user} password '{PASSWORD}'"));
            std::fs::write(self.config().join(file), self.url(user)).expect("writing");
        }
        self.cluster.require_passwords();
    }

    /// The URL of the database for one of the users.
    pub fn url(&self, user: &str) -> String {
        self.cluster.url("cxr").replacen("cxr@", &format!("{user}:{PASSWORD}@"), 1)
    }

    /// The configuration folder.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    /// The folder of the anchor.
    pub fn anchor(&self) -> PathBuf {
        self.folder.path().join("anchor")
    }

    /// Options of the service of this site.
    pub fn options(&self) -> Options {
        Options::production(&self.config())
    }

    /// Runs a command with the site's configuration. Returns whether it succeeded, and its output.
    pub fn run(&self, arguments: &[&str]) -> (bool, String) {
        self.options().command_line(arguments).outcome()
    }

    /// Runs a command with another user in `database.url_file`.
    pub fn run_as(&self, user: &str, arguments: &[&str]) -> (bool, String) {
        let options = self.options().set("database.url_file", &self.url_file(user).display());
        options.command_line(arguments).outcome()
    }

    fn url_file(&self, user: &str) -> PathBuf {
        let (_, file) = USERS.iter().find(|(known, _)| *known == user).expect("a user of the page");
        self.config().join(file)
    }

    /// Edits production.yaml.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let path = self.config().join("production.yaml");
        let yaml = std::fs::read_to_string(&path).expect("the file");
        std::fs::write(&path, change(yaml)).expect("writing");
    }

    /// A token of the site's provider.
    pub fn token(&self, scope: &str) -> String {
        let mut claims = tokens::claims("tester", scope);
        claims["iss"] = "https://idp.hospital.example".into();
        self.provider.sign(&claims, None)
    }

    /// Replaces the folders and addresses in a page by those of this site.
    fn here(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let key = format!("{{ pem_file: {folder}/public.pem, algorithm: EdDSA }}");
        let text = text.replace("/etc/cxr", &format!("{folder}/etc"));
        let text = text
            .replace("/opt/cxr", &format!("{folder}/opt"))
            .replace("/mnt/anchor", &format!("{folder}/anchor"));
        let text = text.replace("{ jwks_url: https://idp.hospital.example/jwks }", &key);
        text.replace("127.0.0.1:9080", "127.0.0.1:0")
    }

    fn shell(&self, script: &str) {
        let programs = binary();
        let programs = programs.parent().and_then(Path::to_str).expect("UTF-8");
        let path = format!("{programs}:{}", std::env::var("PATH").expect("a PATH"));
        let done = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &self.here(script)])
            .current_dir(root())
            .env("PATH", path)
            .env_remove("CXR_PROFILE")
            .output()
            .expect("bash runs");
        let (succeeded, text) = outcome(&done);
        assert!(succeeded, "{script}\n{text}");
    }
}

/// The code blocks of a page in a language.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let parts = page.split(&begin).skip(1);
    let blocks: Vec<String> =
        parts.map(|part| part.split("```").next().expect("an end").to_owned()).collect();
    assert!(!blocks.is_empty(), "the page has no block of {language}");
    blocks
}
