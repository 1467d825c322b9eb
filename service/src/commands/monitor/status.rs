//! `monitor status`.

use super::{moment, named};
use crate::config::{self, Sources};
use crate::stdout;
use crate::store::Store;
use std::process::ExitCode;

#[tokio::main]
pub(super) async fn run(sources: &Sources) -> anyhow::Result<ExitCode> {
    let (database, _) = config::load_database(sources)?;
    let store = Store::new(&database)?;
    let state = store.reader.monitoring_state().await?;
    let n_behind = store.reader.monitoring_rows_behind().await?;
    let cursor = state.cursor;
    let newest = cursor.newest_row_at.map_or("none".to_owned(), moment);
    stdout::print(format_args!(
        "leaves read {}, behind {n_behind}, rows gone {}, labels read {}, newest row {newest}, last step {}",
        cursor.next_leaf,
        cursor.n_gone,
        cursor.next_label,
        moment(cursor.stepped_at)
    ));
    let baselines = store.reader.baselines().await?;
    for stream in &state.streams {
        let of_stream = || baselines.iter().filter(|baseline| baseline.stream == stream.id);
        let approved = of_stream().filter(|baseline| baseline.approved_at.is_some());
        let baseline = match (approved.max_by_key(|baseline| baseline.approved_at), of_stream().next()) {
            (Some(approved), _) => format!("baseline {} ({} images)", approved.id, approved.n_images),
            (None, Some(proposed)) => format!("baseline {} waits for approval", proposed.id),
            (None, None) => "no baseline: monitor baseline propose".to_owned(),
        };
        stdout::print(format_args!("stream {}: {}: {baseline}", stream.id, named(&stream.stream)));
    }
    super::alarms::print(&store.reader.alarms(false).await?);
    Ok(ExitCode::SUCCESS)
}
