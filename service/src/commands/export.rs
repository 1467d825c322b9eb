//! `cxr-service audit export`, and the record in `audit_reads` that commands make when they read the log.

use super::audit::progress;
use crate::audit::export::export;
use crate::config::{self, Sources};
use crate::stdout;
use crate::store::Store;
use anyhow::Context;
use serde_json::{Value, json};
use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

/// Readable and writable for the owner only.
const PRIVATE: u32 = 0o600;

#[tokio::main]
pub(super) async fn run(sources: &Sources, out: &Path) -> anyhow::Result<ExitCode> {
    let (database, _) = config::load_database(sources)?;
    let store = Store::new(&database)?;
    let mut file: Box<dyn Write> = if out == Path::new("-") {
        Box::new(BufWriter::new(stdout::Output))
    } else {
        let file = private_file(out).with_context(|| format!("{}: cannot be written", out.display()))?;
        Box::new(BufWriter::new(file))
    };
    record_read(&store, &json!({ "command": "audit export" }), None).await?;
    let n = export(&store.reader, &mut file, progress("exported")).await?;
    stdout::print_stderr(format_args!("{n} rows exported"));
    Ok(ExitCode::SUCCESS)
}

/// Makes the file private even if it existed with wider permissions.
fn private_file(path: &Path) -> std::io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).mode(PRIVATE).open(path)?;
    // Leave the permissions of a pipe or a device alone.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
    }
    Ok(file)
}

/// Records the read. Call it before anything is shown.
pub(super) async fn record_read(store: &Store, query: &Value, n_rows: Option<u64>) -> anyhow::Result<()> {
    store.writer.record_own_read(query, n_rows).await.context(
        "nothing was exported, because the read could not be recorded in audit_reads: set service.database.url to the primary, with a \
         user that has the role cxr_auditor or cxr_writer, and service.database.reader_url to the replica to read from",
    )
}
