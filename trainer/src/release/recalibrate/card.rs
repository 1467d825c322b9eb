//! The card of a recalibrated bundle. The changes come first: the figures below belong to the old operating point.

use super::result::{Recalibration, by_class};
use crate::export::section::{on_top, replaced};
use crate::export::{int8, thresholds};
use cxr::DecisionPolicy;

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
) -> String {
    let card = on_top(card, HEADING, &section(found, (policy, objections), labels));
    let card = mark_old_verdict(&card);
    let card =
        replaced(&card, DECISION, &format!("{DECISION}\nOf this version: see \"Recalibration\" above.\n"));
    let int8 = int8::HEADING;
    replaced(
        &card,
        int8,
        &format!("{int8}\nLeft out of this version: the logits of the labelled images are those of fp32.\n"),
    )
}

fn mark_old_verdict(card: &str) -> String {
    // Part of the line that earlier versions wrote, too.
    if card.contains(", before the recalibration: ") {
        return card.to_owned();
    }
    card.replacen(&format!("\n{VERDICT}"), &format!("\n{VERDICT}\n{OLD_VERDICT}"), 1)
}

fn section(
    found: &Recalibration,
    (policy, objections): (&DecisionPolicy, &[String]),
    labels: &[String; 2],
) -> String {
    let (before, after) = (&found.before.ece, &found.after.ece);
    let (old, new, chosen) = (found.calibration_before, found.calibration_after, &found.chosen);
    let sources: Vec<String> = found.sources.iter().map(|(source, n)| format!("{n} by {source}")).collect();
    let sources = if sources.is_empty() { String::new() } else { format!(", {}", sources.join(", ")) };
    let forced =
        if objections.is_empty() { String::new() } else { format!("- Forced: {}.\n", objections.join("; ")) };
    format!(
        "{HEADING}\n\
         Calibration and operating point were fitted to images labelled by a site: {} of {} patients{sources}.\n\
         The network is that of {}. Everything below was measured with the old calibration and operating point: areas under\n\
         the curve still hold; sensitivities, specificities and calibration errors do not.\n\n\
         - Probability: sigmoid({:.4} x logit {:+.4}), before sigmoid({:.4} x logit {:+.4}).\n\
         - Expected calibration error on these images: {:.4} [{:.4}, {:.4}] before, {:.4} [{:.4}, {:.4}] after (cross-validated).\n\
         - Operating point: {:.4}, with sensitivity {:.4}, specificity {:.4} on these images, target sensitivity {}. It was chosen on\n  \
           them: other images will differ.\n{}{forced}",
        by_class(found.n, labels),
        found.n_patients,
        found.parent_version,
        new.scale,
        new.bias,
        old.scale,
        old.bias,
        before.value,
        before.ci95[0],
        before.ci95[1],
        after.value,
        after.ci95[0],
        after.ci95[1],
        policy.threshold,
        chosen.sensitivity,
        chosen.specificity,
        chosen.target_sensitivity,
        thresholds(policy),
    )
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
