//! The card of a recalibrated bundle: what changed stands above everything else, because the figures below it were measured with the
//! old operating point.

use super::{Recalibration, by_class};
use crate::export::int8;
use crate::export::section::{on_top, replaced};

const HEADING: &str = "## Recalibration\n";
const DECISION: &str = "### Decision\n";

/// The card with a section on top. Sections that would say something else are cut down to a line.
pub(super) fn recalibrated(card: &str, found: &Recalibration, labels: &[String; 2]) -> String {
    let card = on_top(card, HEADING, &section(found, labels));
    let card =
        replaced(&card, DECISION, &format!("{DECISION}\nOf this version: see \"Recalibration\" above.\n"));
    let int8 = int8::HEADING;
    replaced(
        &card,
        int8,
        &format!("{int8}\nLeft out of this version: the labels' logits were those of fp32.\n"),
    )
}

fn section(found: &Recalibration, labels: &[String; 2]) -> String {
    let (before, after) = (&found.before.ece, &found.after.ece);
    let (old, new, chosen) = (found.calibration_before, found.calibration_after, &found.chosen);
    let sources: Vec<String> = found.sources.iter().map(|(source, n)| format!("{n} by {source}")).collect();
    let sources = if sources.is_empty() { String::new() } else { format!(", {}", sources.join(", ")) };
    let forced = if found.forced {
        "- Forced: the labels may be too few, or the improvement was not shown.\n"
    } else {
        ""
    };
    format!(
        "{HEADING}\n\
         Probability and operating point were fitted to images that a site labelled: {} of {} patients{sources}.\n\
         The network is that of {}. Everything below was measured with the old probability and operating point: areas under the\n\
         curve hold unchanged; sensitivities, specificities and calibration errors do not.\n\n\
         - Probability: sigmoid({:.4} x logit {:+.4}), before sigmoid({:.4} x logit {:+.4}).\n\
         - Expected calibration error on these images: {:.4} [{:.4}, {:.4}] before, {:.4} [{:.4}, {:.4}] after (cross-validated).\n\
         - Operating point: sensitivity {:.4}, specificity {:.4} on these images, target sensitivity {}. It was chosen on them: other\n  \
           images will differ.\n{forced}",
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
        chosen.sensitivity,
        chosen.specificity,
        chosen.target_sensitivity,
    )
}
