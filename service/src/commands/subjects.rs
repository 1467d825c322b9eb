//! `cxr-service audit erase-subject`: deletes the link between subjects and their rows.

use crate::audit::erasures::Erasures;
use crate::audit::subject_lookup;
use crate::config::{self, Sources};
use crate::record::hmac::SiteKey;
use crate::stdout;
use crate::store::Store;
use anyhow::{Context, ensure};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

/// Erases the subject of each line. The list is written first: if the deletion fails, the service repeats it.
#[tokio::main]
pub(super) async fn erase(sources: &Sources, identifiers: &Path) -> anyhow::Result<ExitCode> {
    let (database, audit) = config::load_audit(sources)?;
    let list = audit.erasures_file().context(
        "service.audit.erasures_file is not set: name a file that no database backup covers, or a restored backup \
         brings the subject back",
    )?;
    let list = Erasures::at(list.to_owned());
    let mut text = String::new();
    if identifiers == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    } else {
        text = std::fs::read_to_string(identifiers)
            .with_context(|| format!("{}: cannot be read", identifiers.display()))?;
    }
    let identifiers: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    ensure!(!identifiers.is_empty(), "--identifiers: empty; write one per line, as sent in X-Subject-Id");
    let lookup = subject_lookup(&SiteKey::new(&audit.input_key));
    let store = Store::new(&database)?;
    let mut n_known = 0;
    for identifier in &identifiers {
        let erasure = (lookup.digest(identifier.as_bytes()), store.writer.now().await?);
        list.add(&erasure)?;
        n_known += store.writer.erase_subjects(&[erasure]).await?;
    }
    let n = identifiers.len();
    stdout::print(format_args!(
        "erased {n_known} of {n} subjects; the others are unknown here, and all rows stay"
    ));
    Ok(ExitCode::SUCCESS)
}
