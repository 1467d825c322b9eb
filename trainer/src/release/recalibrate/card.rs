//! The card of a recalibrated bundle: the changes first, then the figures of the old operating point.

use super::result::{Recalibration, by_class};
use crate::export::card::rendered;
use crate::export::section::{on_top, replaced};
use crate::export::{int8, thresholds};
use anyhow::Result;
use cxr::DecisionPolicy;
use minijinja::context;
use minijinja::value::Serde;

const HEADING: &str = "## Recalibration\n";
const DECISION: &str = "### Decision\n";
const VERDICT: &str = "## Verdict\n";
/// Inserted above the verdict on the old bundle.
const OLD_VERDICT: &str = "On the old operating point, before the recalibration: the gates have not been applied to this version.\n";

/// Inserts the section on top, and replaces sections that would contradict it by one line.
pub(super) fn recalibrated(
    card: &str,
    found: &Recalibration,
    (policy, objections): (&DecisionPolicy, &[String]),
    labels: &[String; 2],
) -> Result<String> {
    let values = context! {
        images => by_class(found.n, labels),
        found => Serde(found),
        threshold => policy.threshold,
        thresholds => thresholds(policy),
        objections => Serde(objections),
    };
    let card = mark_old_verdict(&on_top(card, HEADING, &rendered("recalibration.md", values)?));
    let decision = format!("{DECISION}\nOf this version: see \"Recalibration\" above.\n");
    let int8 = int8::HEADING;
    let left_out = "Left out of this version: the logits of the labelled images are those of fp32.";
    let card = replaced(&card, DECISION, &decision);
    Ok(replaced(&card, int8, &format!("{int8}\n{left_out}\n")))
}

fn mark_old_verdict(card: &str) -> String {
    // Part of the line that earlier versions wrote, too.
    if card.contains(", before the recalibration: ") {
        return card.to_owned();
    }
    card.replacen(&format!("\n{VERDICT}"), &format!("\n{VERDICT}\n{OLD_VERDICT}"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_verdict_is_marked_once() {
        let card = "# a 1.1.0\n\n## Recalibration\n\nnew\n\n## Verdict\n\n**Fit.**\n";
        let expected =
            format!("# a 1.1.0\n\n## Recalibration\n\nnew\n\n## Verdict\n\n{OLD_VERDICT}\n**Fit.**\n");
        let once = mark_old_verdict(card);
        assert_eq!(once, expected);
        assert_eq!(mark_old_verdict(&once), once);
        assert_eq!(mark_old_verdict("# a 1.1.0\n"), "# a 1.1.0\n", "a card without a verdict");
    }
}
