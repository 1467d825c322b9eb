//! `cxr-service audit ...`: keys, retention and holds of the log; the other subcommands have their own files.

use super::verify::{print_report, verified};
use super::{export, replay, subjects};
use crate::audit::anchor::Anchor;
use crate::audit::signing::{LogKey, LogVerifier};
use crate::config::{self, Sources};
use crate::files;
use crate::record::tree::Edge;
use crate::stdout;
use crate::store::{DropOutcome, Month, Store};
use anyhow::{Context, ensure};
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tlog_tiles::{Checkpoint, tree_hash};
use uuid::Uuid;

/// Rows between two progress messages.
const PROGRESS: u64 = 100_000;

/// Subcommands of `cxr-service audit`.
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Make the key that signs receipts and checkpoints. The public key goes to standard output.
    #[command(
        after_help = "Example: cxr-service audit new-key --origin cxr.hospital.example/main --out log.key > log.pub"
    )]
    NewKey {
        /// Name of the log in its checkpoints: a host name and a path of your own, without spaces or +.
        #[arg(long)]
        origin: String,
        /// File for the private key. It must not exist yet.
        #[arg(long)]
        out: PathBuf,
    },
    /// Print the public key that belongs to a private key.
    #[command(after_help = "Example: cxr-service audit public-key --key-file log.key")]
    PublicKey {
        /// File with the private key.
        #[arg(long)]
        key_file: PathBuf,
    },
    /// Export every row in the tree and every checkpoint, one JSON object per line.
    ///
    /// The export itself is recorded in audit_reads.
    #[command(
        after_help = "Example: CXR_SERVICE__DATABASE__URL=postgres://auditor@localhost/cxr cxr-service audit export --out log.ndjson"
    )]
    Export {
        /// Output file, or - for standard output.
        #[arg(long)]
        out: PathBuf,
    },
    /// Drop months that are older than the retention period. Needs the database's owner.
    ///
    /// A month is dropped only if all its rows are under an anchored checkpoint and it is not on hold. Its
    /// leaves and proofs stay.
    #[command(
        after_help = "Example: CXR_SERVICE__DATABASE__URL=postgres://owner@localhost/cxr cxr-service audit retain --keep-months 120 --public-key log.pub --checkpoints /mnt/anchor"
    )]
    Retain {
        /// Whole months to keep before the current one.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1200))]
        keep_months: u32,
        /// The log's public key, or a file that holds it.
        #[arg(long)]
        public_key: String,
        /// Folder with the checkpoints outside the database (service.audit.anchor.directory).
        #[arg(long)]
        checkpoints: PathBuf,
        /// Print what would be dropped, and drop nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Put a month on hold, so that retention does not drop it, or release it. Without arguments: list the
    /// months.
    #[command(
        after_help = "Example: CXR_SERVICE__DATABASE__URL=postgres://owner@localhost/cxr cxr-service audit hold --month predictions_2026_01 --reason \"case 17/26\""
    )]
    Hold {
        /// Table of the month.
        #[arg(long)]
        month: Option<String>,
        /// Who put it on hold, and why. Do not name patients.
        #[arg(long, requires = "month", conflicts_with = "release")]
        reason: Option<String>,
        /// Release the hold.
        #[arg(long, requires = "month")]
        release: bool,
    },
    /// Erase subjects: their rows can no longer be linked to them, and every proof still holds.
    #[command(
        after_help = "Example: CXR_SERVICE__DATABASE__URL=postgres://owner@localhost/cxr CXR_SERVICE__AUDIT__ERASURES_FILE=/mnt/anchor/erased cxr-service audit erase-subject --identifiers - < mrn.txt\n\nPostgres keeps deleted rows until VACUUM (run VACUUM subjects), and in its write-ahead log and backups for as long as you keep those."
    )]
    EraseSubject {
        /// File with one identifier per line, as sent in X-Subject-Id, or - for standard input.
        #[arg(long)]
        identifiers: PathBuf,
    },
    /// Repeat a logged prediction with the same image and bundle, and compare the results.
    ///
    /// The comparison is bit for bit if the prediction executes as it did then (columns `execution`),
    /// otherwise within a tolerance.
    #[command(
        after_help = "Example: cxr-service audit replay --id 019a2f66-7c1e-7b7b-a8e5-2f1c5b0f6d10 --image case.jpg\n\nNeeds the service's configuration: the database, audit.input_key and the row's bundle. Exit status: 0 if every result agrees, 1 if one differs."
    )]
    Replay {
        /// Row id.
        #[arg(long)]
        id: Uuid,
        /// The image exactly as it was sent.
        #[arg(long)]
        image: PathBuf,
        /// Largest allowed difference if it executes differently; of a logit: what golden outputs may differ
        /// between hosts.
        #[arg(long, default_value_t = 1e-3)]
        tolerance: f64,
        /// Print the comparison as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Verify an export without a database.
    ///
    /// Checks rows against leaves, leaves against checkpoints, and checkpoints against the public key.
    #[command(
        after_help = "Example: cxr-service audit verify --export log.ndjson --public-key log.pub --checkpoints /mnt/anchor\n\nExit status: 0 if everything is as signed, 1 if something is not, 2 if the export could not be verified."
    )]
    Verify {
        /// The export, or - for standard input.
        #[arg(long)]
        export: PathBuf,
        /// The log's public key, or a file that holds it.
        #[arg(long)]
        public_key: String,
        /// Folder with the checkpoints outside the database (service.audit.anchor.directory). Without it, the
        /// holder of the log's private key could have rewritten everything unnoticed.
        #[arg(long)]
        checkpoints: Option<PathBuf>,
        /// Answers or receipts kept by clients: one JSON object per line with a member `receipt` or `note`.
        #[arg(long)]
        receipts: Option<PathBuf>,
        /// Rows before this time (RFC 3339) may be missing because of retention; their leaves may not.
        #[arg(long, value_parser = parse_moment)]
        kept_from: Option<OffsetDateTime>,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: AuditCommand, sources: &Sources) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::NewKey { origin, out } => new_key(&origin, &out),
        AuditCommand::PublicKey { key_file } => {
            let name = key_file.display();
            let text =
                std::fs::read_to_string(&key_file).with_context(|| format!("{name}: cannot be read"))?;
            let key = LogKey::parse(&text.as_str().into());
            let key = key.with_context(|| format!("{name}: not a private key of a log"))?;
            stdout::print(key.public());
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Export { out } => export::run(sources, &out),
        AuditCommand::Retain { keep_months, public_key, checkpoints, dry_run } => {
            let key = public(&public_key)?;
            let newest = Anchor::at(checkpoints.clone()).newest(&key)?;
            let newest = newest.with_context(|| format!("{}: holds no checkpoint", checkpoints.display()))?;
            retain(sources, keep_months, &newest, dry_run)
        }
        AuditCommand::Hold { month, reason, release } => {
            if let Some(month) = &month {
                ensure!(release || reason.is_some(), "add --reason, or --release to release {month}");
            }
            hold(sources, month.as_deref(), reason.as_deref())
        }
        AuditCommand::Replay { id, image, tolerance, json } => {
            replay::run(sources, id, &image, tolerance, json)
        }
        AuditCommand::EraseSubject { identifiers } => subjects::erase(sources, &identifiers),
        AuditCommand::Verify { export, public_key, checkpoints, receipts, kept_from, json } => {
            match verified(&export, &public_key, checkpoints, receipts.as_deref(), kept_from) {
                Ok(report) => {
                    print_report(&report, json)?;
                    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
                }
                Err(error) => {
                    stdout::print_stderr(format_args!("cxr-service: {error:#}"));
                    Ok(ExitCode::from(2))
                }
            }
        }
    }
}

fn new_key(origin: &str, out: &Path) -> anyhow::Result<ExitCode> {
    ensure!(
        !origin.is_empty() && !origin.contains(|c: char| c == '+' || c.is_whitespace()),
        "--origin: a name without spaces and without +, such as cxr.hospital.example/main"
    );
    let (private, public) = LogKey::generate(origin);
    files::create_private(out, &format!("{private}\n"))
        .with_context(|| format!("{}: exists already or cannot be written", out.display()))?;
    stdout::print(public);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn public(key: &str) -> anyhow::Result<LogVerifier> {
    let text = if Path::new(key).exists() {
        std::fs::read_to_string(key).with_context(|| format!("{key}: cannot be read"))?
    } else {
        key.to_owned()
    };
    LogVerifier::parse(&text).context("--public-key: not a log's public key or a file with one")
}

#[tokio::main]
async fn retain(
    sources: &Sources,
    keep_months: u32,
    anchored: &Checkpoint,
    dry_run: bool,
) -> anyhow::Result<ExitCode> {
    let (database, _) = config::load_database(sources)?;
    let store = Store::new(&database)?;
    if !dry_run {
        as_owner(&store, "audit retain").await?;
    }
    // The anchored checkpoint must belong to this tree: another one proves nothing about its rows.
    let hashes = store.reader.tree_hashes(&Edge::positions(anchored.size())).await?;
    let root = tree_hash(anchored.size(), &hashes).ok();
    ensure!(
        root.as_ref() == Some(anchored.hash()),
        "the tree in the database does not contain the anchored checkpoint of {} leaves: nothing was dropped; run audit verify",
        anchored.size()
    );
    let kept_from = months_before(OffsetDateTime::now_utc(), keep_months);
    let mut left = 0;
    for Month { name, ends, held } in store.writer.months().await? {
        if ends > kept_from {
            continue;
        }
        if dry_run {
            let what = held.map_or("would be dropped".to_owned(), |reason| format!("is held: {reason}"));
            stdout::print(format_args!("{name} {what}"));
            continue;
        }
        let dropped = store.drop_month(&name, anchored.size()).await?;
        left += usize::from(!matches!(dropped, DropOutcome::Dropped { .. } | DropOutcome::Held));
        stdout::print(match dropped {
            DropOutcome::Dropped { n_rows } => format!("{name} dropped: {n_rows} rows; their leaves stay"),
            DropOutcome::Waiting { n_rows } => format!("{name} kept: {n_rows} rows are not in the tree yet"),
            DropOutcome::NotAnchored { needed } => {
                format!("{name} kept: it needs an anchored checkpoint of at least {needed} leaves")
            }
            DropOutcome::Unbound { n_rows } => {
                format!(
                    "{name} kept: {n_rows} rows predate encoding version 4: their leaves do not state their age"
                )
            }
            DropOutcome::Read => {
                format!(
                    "{name} kept: the log is being read, by an export or a backup; run this again afterwards"
                )
            }
            DropOutcome::Held => format!("{name} kept: on hold"),
        });
    }
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checked first, because the database's own error names a table and no remedy.
async fn as_owner(store: &Store, command: &str) -> anyhow::Result<()> {
    let (user, is_owner) = store.writer.user().await?;
    ensure!(
        is_owner,
        "{command} needs the owner of the log's tables, the user who ran cxr-service migrate; service.database.url logs in as {user}"
    );
    Ok(())
}

/// Start of the month that is `months` before the current one.
fn months_before(now: OffsetDateTime, months: u32) -> OffsetDateTime {
    let index = now.year() * 12 + i32::from(u8::from(now.month())) - 1 - months as i32;
    let month = time::Month::try_from((index.rem_euclid(12) + 1) as u8).unwrap_or(time::Month::January);
    let first = time::Date::from_calendar_date(index.div_euclid(12), month, 1).unwrap_or(time::Date::MIN);
    first.midnight().assume_utc()
}

#[tokio::main]
async fn hold(sources: &Sources, month: Option<&str>, reason: Option<&str>) -> anyhow::Result<ExitCode> {
    let (database, _) = config::load_database(sources)?;
    let store = Store::new(&database)?;
    if let Some(month) = month {
        as_owner(&store, "audit hold --month").await?;
        ensure!(store.writer.hold(month, reason).await?, "no month {month}; audit hold lists them");
    }
    for Month { name, ends, held } in store.writer.months().await? {
        let held = held.as_deref().unwrap_or("not held");
        stdout::print(format_args!("{name}, until {}, {held}", ends.date()));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn progress(what: &str) -> impl FnMut(u64) {
    move |n| {
        if n % PROGRESS == 0 {
            stdout::print_stderr(format_args!("{n} rows {what}"));
        }
    }
}

fn parse_moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "use a time such as 2026-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn months_are_counted_over_the_turn_of_the_year() {
        let now = datetime!(2026-03-17 08:00 UTC);
        assert_eq!(months_before(now, 0), datetime!(2026-03-01 00:00 UTC));
        assert_eq!(months_before(now, 3), datetime!(2025-12-01 00:00 UTC));
        assert_eq!(months_before(now, 27), datetime!(2023-12-01 00:00 UTC));
    }
}
