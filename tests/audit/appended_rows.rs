//! An attacker with the database appends rows after the last checkpoint.

use crate::tampering::add_sql;
use crate::target::{ROWS, Target, random};

/// The row has its leaf and the hashes above it, and no checkpoint or an unsigned one.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_appended_after_the_last_checkpoint_is_found() {
    let target = Target::fill().await;
    let row = random(ROWS);
    let unsigned = format!(
        "; insert into audit_checkpoints select {ROWS} + 1, sha256('x'), note from audit_checkpoints where tree_size = {ROWS}"
    );
    for checkpoint in ["", &unsigned] {
        let found =
            target.findings(&target.attacked(&format!("{}{checkpoint}", add_sql(&target, row, ROWS))));
        assert!(found.contains(&(ROWS, 1)), "{found:?}");
        assert!(found.iter().all(|(index, _)| *index >= ROWS), "{found:?}");
    }
}
