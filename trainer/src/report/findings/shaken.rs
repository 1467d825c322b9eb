//! What robustness adds to the findings: the hardest corruption, decisions that move, shortcuts.

use crate::measure::robustness::Robustness;
use crate::measure::robustness::figures::Figures;
use crate::measure::robustness::probes::BORDER_ONLY;
use crate::report::document::Found;
use crate::report::text::{self, measured};
use cxr::bundle::Measured;

/// A change of the area under the curve that is called a weakness.
const NOTABLE_LOSS: f64 = 0.02;

/// Where the interval of an area under the curve begins at or above this, it is said to tell the classes: beyond chance, and by something.
const TELLING_AUC: f64 = 0.55;

/// Probes that hide what the network should look at: there a low area under the curve is right.
const HIDING: [&str; 2] = [BORDER_ONLY, "centre masked"];

/// The corruption that costs most.
pub(super) fn hardest(found: &Robustness) -> Found<String> {
    let suite = found.corruptions.as_ref().ok_or("corruptions were left out")?;
    let worst = suite.results.iter().min_by(|a, b| a.figures.auc.value.total_cmp(&b.figures.auc.value));
    let worst = worst.ok_or("no corruption was measured")?;
    let many =
        suite.results.iter().filter(|r| found.clean.auc.value - r.figures.auc.value > NOTABLE_LOSS).count();
    Ok(format!(
        "{} at severity {}: AUC {} against {}; {many} of {} conditions cost more than {NOTABLE_LOSS}",
        text::key(&worst.corruption),
        worst.severity,
        measured(&worst.figures.auc),
        measured(&found.clean.auc),
        suite.results.len()
    ))
}

/// What corruptions do to the decisions, which the area under the curve does not see.
pub(super) fn moved(found: &Robustness) -> Found<String> {
    let suite = found.corruptions.as_ref().ok_or("corruptions were left out")?;
    let lowest = |get: fn(&Figures) -> &Measured| {
        suite.results.iter().min_by(|a, b| get(&a.figures).value.total_cmp(&get(&b.figures).value))
    };
    let text = |what: &str, get: fn(&Figures) -> &Measured| {
        let worst = lowest(get).ok_or("no corruption was measured")?;
        Ok::<_, String>(format!(
            "lowest {what} {} ({} at severity {}) against {}",
            measured(get(&worst.figures)),
            text::key(&worst.corruption),
            worst.severity,
            measured(get(&found.clean))
        ))
    };
    Ok(format!("{}; {}", text("sensitivity", |f| &f.sensitivity)?, text("specificity", |f| &f.specificity)?))
}

/// What the probes show.
pub(super) fn shortcuts(found: &Robustness) -> Found<String> {
    let probes = found.probes.as_ref().ok_or("probes were left out")?;
    let border = probes.changes.iter().find(|probe| probe.name == HIDING[0]);
    let border = border.map_or_else(String::new, |probe| {
        format!(
            "from the border alone the network reaches AUC {} (0.5 would be nothing); ",
            measured(&probe.auc)
        )
    });
    let others = probes.changes.iter().filter(|probe| !HIDING.contains(&probe.name.as_str()));
    let worst = others.min_by(|a, b| a.auc_change.value.total_cmp(&b.auc_change.value));
    let worst = worst.ok_or("no change was measured")?;
    let told = probes.classifiers.iter().filter_map(|probe| Some((probe.auc.as_ref()?, &probe.name)));
    let told = told.max_by(|a, b| a.0.value.total_cmp(&b.0.value));
    let told = told.map_or_else(String::new, |(auc, name)| without_network(name, auc));
    Ok(format!(
        "{border}of the changes that leave the lungs alone, {} costs most: AUC {} ({}){told}",
        worst.name,
        measured(&worst.auc),
        measured(&worst.auc_change)
    ))
}

/// Whether what needs no lung and no network tells the classes, beyond chance.
fn without_network(name: &str, auc: &Measured) -> String {
    if auc.ci95[0] >= TELLING_AUC {
        format!("; without any network, {name} alone tell the classes with AUC {}", measured(auc))
    } else {
        format!(
            "; without any network, nothing of it tells the classes (most: {name}, AUC {})",
            measured(auc)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_chance_explains_tells_nothing() {
        let auc = |value, low, high| Measured { value, ci95: [low, high], n: 43 };
        let text = without_network("corner statistics", &auc(0.5543, 0.3643, 0.7323));
        assert!(text.contains("nothing of it tells the classes"), "{text}");
        let text = without_network("corner statistics", &auc(0.9, 0.85, 0.95));
        assert!(text.contains("corner statistics alone tell the classes with AUC 0.9000"), "{text}");
    }
}
