//! Proposes and approves a baseline with the commands that an operator has.

use super::replica;
use super::stack::Stack;
use anyhow::Result;

/// Approves a baseline for each stream, of at least half of the images that were sent.
pub(super) async fn approve(stack: &Stack, n_images: u64) -> Result<()> {
    let settings = stack.settings.clone();
    let propose = move || -> Result<()> {
        let least = (n_images / 2).to_string();
        let options = ["--min-images", &least, "--min-weeks", "0", "--images-a-year", "73000"];
        let proposed =
            replica::output(&settings, &[&["monitor", "baseline", "propose"], &options[..]].concat())?;
        for id in proposed.lines().filter_map(|line| line.split_whitespace().next()) {
            let reason = "make watch: a demonstration";
            replica::output(&settings, &["monitor", "baseline", "approve", id, "--reason", reason])?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(propose).await?
}
