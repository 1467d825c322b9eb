//! The card of a recalibrated bundle: the changes first, then the figures of the old operating point.

use super::result::{Recalibration, by_class};
use crate::export::section::{on_top, replaced};
use crate::export::{int8, thresholds};
use cxr::bundle::Measured;
use cxr::decide::OperatingPoint;
use cxr::{AffineCalibration, DecisionPolicy};

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
    let probability = |c: AffineCalibration| format!("sigmoid({:.4} x logit {:+.4})", c.scale, c.bias);
    let (old, new) = (probability(found.calibration_before), probability(found.calibration_after));
    let ece = |m: Measured| format!("{:.4} [{:.4}, {:.4}]", m.value, m.ci95[0], m.ci95[1]);
    let (before, after) = (ece(found.before.ece), ece(found.after.ece));
    let (images, n_patients, parent) = (by_class(found.n, labels), found.n_patients, &found.parent_version);
    let sources: String = found.sources.iter().map(|(source, n)| format!(", {n} by {source}")).collect();
    let OperatingPoint { sensitivity, specificity, target_sensitivity: target, .. } = &found.chosen;
    let (threshold, thresholds) = (policy.threshold, thresholds(policy));
    let forced =
        if objections.is_empty() { String::new() } else { format!("- Forced: {}.\n", objections.join("; ")) };
    format!(
        "{HEADING}\n\
         Calibration and operating point were fitted to images labelled by a site: {images} of {n_patients} patients{sources}.\n\
         The network is that of {parent}. Everything below was measured with the old calibration and operating point: areas under\n\
         the curve still hold; sensitivities, specificities and calibration errors do not.\n\n\
         - Probability: {new}, before {old}.\n\
         - Expected calibration error on these images: {before} before, {after} after (cross-validated).\n\
         - Operating point: {threshold:.4}, with sensitivity {sensitivity:.4}, specificity {specificity:.4} on these images,\n  \
           target sensitivity {target}. It was chosen on them: other images will differ.\n{thresholds}{forced}"
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
