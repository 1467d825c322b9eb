//! Proposes and approves a baseline with the commands that an operator has.

use super::stack::Stack;
use crate::program::output;
use anyhow::Result;

/// Approves a baseline for each stream, of at least half of the images that were sent.
pub(super) async fn approve(stack: &Stack, n_images: u64) -> Result<()> {
    let settings = stack.settings.clone();
    let approve = move || -> Result<()> {
        let least = (n_images / 2).to_string();
        let options = ["--min-images", &least, "--min-weeks", "0", "--years", "20"];
        let proposed = output(&settings, &[&["monitor", "baseline", "propose"], &options[..]].concat())?;
        let ids =
            proposed.lines().filter_map(|line| line.strip_prefix("proposed baseline ")?.split(';').next());
        for id in ids {
            let reason = "make watch: a demonstration";
            output(&settings, &["monitor", "baseline", "approve", id, "--reason", reason])?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(approve).await?
}
