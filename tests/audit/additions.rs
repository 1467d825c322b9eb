//! Rows that nobody sent: whoever has the database adds them where no signed head is.

use crate::deeds::add;
use crate::target::{ROWS, Target, random};

/// At the end, with its leaf and the hashes above it, and without a checkpoint or with one that is not signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_appended_behind_the_last_signed_head_is_found() {
    let target = Target::fill().await;
    let row = random(ROWS);
    let unsigned = format!(
        "; insert into audit_checkpoints select {ROWS} + 1, sha256('x'), note from audit_checkpoints where tree_size = {ROWS}"
    );
    for head in ["", &unsigned] {
        let found = target.findings(&target.attacked(&format!("{}{head}", add(&target, row, ROWS))));
        assert!(found.contains(&(ROWS, 1)), "{found:?}");
        assert!(found.iter().all(|(place, _)| *place >= ROWS), "{found:?}");
    }
}
