//! The URL of a database: one or several hosts, which of them to use, and the file that it came from.

use super::secret::Secret;
use super::values::{Rule, rules};
use sqlx::postgres::PgConnectOptions;
use std::path::{Path, PathBuf};

/// Where a database is and its user, with the file that may hold a newer password.
#[derive(Debug, Clone)]
pub struct DatabaseUrl {
    /// Its key, such as `service.database.url`.
    pub key: &'static str,
    text: Secret,
    file: Option<PathBuf>,
    several_want: Target,
}

/// Which of several servers to use; the names are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Any,
    /// The first whose sessions can write: `read-write` and `primary`.
    ReadWrite,
    /// The first whose sessions cannot write: `read-only` and `standby`.
    ReadOnly,
}

impl Target {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "any" => Some(Self::Any),
            "read-write" | "primary" => Some(Self::ReadWrite),
            "read-only" | "standby" => Some(Self::ReadOnly),
            _ => None,
        }
    }
}

/// The servers of a URL, in its order.
#[derive(Clone)]
pub struct Servers {
    pub hosts: Vec<PgConnectOptions>,
    pub target: Target,
}

/// Why a text is not a URL of Postgres servers. The text may hold a password, so it is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `postgres://...`, or a part of it does not parse.
    #[error("not the URL of a Postgres database")]
    Malformed,
    #[error("target_session_attrs is not any, read-write, primary, read-only or standby")]
    Target,
    #[error("the numbers of ports and hosts differ")]
    Ports,
}

impl DatabaseUrl {
    /// If there are several hosts, `several_want` applies unless the URL says otherwise.
    pub(super) fn new(key: &'static str, text: &Secret, file: Option<&Path>, several_want: Target) -> Self {
        Self { key, text: text.clone(), file: file.map(Path::to_owned), several_want }
    }

    pub const fn text(&self) -> &Secret {
        &self.text
    }

    /// The servers that it names. Fails only for a URL that [`Self::read_again`] read.
    pub fn servers(&self) -> Result<Servers, UrlError> {
        servers(self.text.expose(), self.several_want)
    }

    /// The URL that its file holds now, if it came from a file and the text has changed.
    pub fn read_again(&self) -> std::io::Result<Option<Self>> {
        let Some(file) = &self.file else { return Ok(None) };
        let text = Secret::read(file)?;
        let changed = text.expose() != self.text.expose();
        Ok(changed.then(|| Self { text, ..self.clone() }))
    }
}

rules! {
    PostgresUrl(Secret): "set it, or the file that holds it in its _file key, to postgres://USER:PASSWORD@HOST:PORT/DATABASE",
        |url| servers(url.expose(), Target::Any).map(drop).map_err(|error| error.to_string());
}

/// Splits a URL with several hosts into URLs with one each, which is what sqlx parses.
fn servers(url: &str, several_want: Target) -> Result<Servers, UrlError> {
    let (scheme, rest) = url.split_once("://").ok_or(UrlError::Malformed)?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(UrlError::Malformed);
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut target = None;
    let (mut query_hosts, mut ports, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("target_session_attrs", name)) => {
                target = Some(Target::parse(name).ok_or(UrlError::Target)?);
            }
            Some(("host", hosts)) => query_hosts = list(hosts),
            Some(("port", list_of_ports)) => ports = list(list_of_ports),
            _ => others.push(pair.to_owned()),
        }
    }
    let n = query_hosts.len().max(hosts.split(',').count());
    if !query_hosts.is_empty() && ports.len() > 1 && ports.len() != n {
        return Err(UrlError::Ports);
    }
    let of = |list: &[String], at: usize| list.get(at).or_else(|| list.first()).cloned();
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > 1 && !query_hosts.is_empty() {
        return Err(UrlError::Malformed);
    }
    let one = |at: usize| {
        let mut pairs = others.clone();
        pairs.extend(of(&query_hosts, at).map(|host| format!("host={host}")));
        pairs.extend(of(&ports, at).map(|port| format!("port={port}")));
        let host = hosts.get(at).or_else(|| hosts.first()).copied().unwrap_or_default();
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
        format!("{scheme}://{user}{host}{path}{query}").parse().map_err(|_| UrlError::Malformed)
    };
    let hosts = (0..n).map(one).collect::<Result<_, _>>()?;
    let usual = if n > 1 { several_want } else { Target::Any };
    Ok(Servers { hosts, target: target.unwrap_or(usual) })
}

/// A list in a query, whose commas may be encoded as `%2C`.
fn list(text: &str) -> Vec<String> {
    text.replace("%2C", ",").replace("%2c", ",").split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Result<(Vec<String>, Target), UrlError> {
        let servers = servers(url, Target::ReadWrite)?;
        let shown = |options: &PgConnectOptions| {
            let socket = options.get_socket().map(|path| path.display().to_string());
            let host = socket.unwrap_or_else(|| options.get_host().into());
            format!("{}@{host}:{}", options.get_username(), options.get_port())
        };
        Ok((servers.hosts.iter().map(shown).collect(), servers.target))
    }

    #[test]
    fn a_url_names_one_host_or_several() {
        let one = hosts("postgres://u:p%40ss@a:5433/d").unwrap();
        assert_eq!(one, (vec!["u@a:5433".to_owned()], Target::Any));
        let two = hosts("postgresql://u:p@a:5433,[::1]:5434/d?sslmode=disable").unwrap();
        assert_eq!(two.0, ["u@a:5433", "u@[::1]:5434"]);
        assert_eq!(two.1, Target::ReadWrite, "of several hosts the one that can be written to");
        let sockets = hosts("postgres://u@localhost/d?host=/tmp/a,/tmp/b&port=1,2").unwrap();
        assert_eq!(sockets.0, ["u@/tmp/a:1", "u@/tmp/b:2"]);
        let asked = hosts("postgres://u@a,b/d?target_session_attrs=standby").unwrap();
        assert_eq!(asked.1, Target::ReadOnly);
        assert_eq!(hosts("postgres://u@a,b/d?target_session_attrs=best"), Err(UrlError::Target));
        assert_eq!(hosts("postgres://u@x/d?host=/a,/b,/c&port=1,2"), Err(UrlError::Ports));
        for malformed in ["mysql://u@a/d", "a/d", "postgres://u@a:port/d", "postgres://u@a,b:x/d"] {
            assert_eq!(hosts(malformed), Err(UrlError::Malformed), "{malformed}");
        }
    }

    #[test]
    fn a_file_is_read_again_and_an_unchanged_one_is_nothing_new() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "postgres://u:old@a/d\n").unwrap();
        let url = DatabaseUrl::new("k", &Secret::read(&file).unwrap(), Some(&file), Target::Any);
        assert!(url.read_again().unwrap().is_none());
        std::fs::write(&file, "postgres://u:new@a/d\n").unwrap();
        let newer = url.read_again().unwrap().unwrap();
        assert_eq!(newer.text().expose(), "postgres://u:new@a/d");
        assert!(newer.read_again().unwrap().is_none());
        std::fs::remove_file(&file).unwrap();
        assert!(newer.read_again().is_err());
    }
}
