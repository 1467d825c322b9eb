//! Every metric that rules and dashboards name exists, and every metric that exists is used or listed with
//! the reason why it is not.

use crate::deploy;
use crate::expressions::{expressions, selectors};
use crate::rules::rules;
use std::collections::{BTreeMap, BTreeSet};
use system_tests::root;

/// Metrics with their types, by docs/METRICS.md.
fn documented() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string(root().join("docs/METRICS.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let rows = rows.map(|(name, rest)| (name.to_owned(), rest.split(" | ").next().unwrap().to_owned()));
    rows.filter(|(_, kind)| ["counter", "gauge", "histogram"].contains(&&**kind)).collect()
}

/// The metrics that expressions name, without the suffixes of histograms.
fn used(documented: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let recorded: BTreeSet<String> = rules().into_iter().filter_map(|rule| rule.record).collect();
    let mut used = BTreeMap::new();
    for expression in expressions() {
        for selector in selectors(&expression) {
            let name = selector.name.unwrap_or_else(|| panic!("a selector without a name: {expression:?}"));
            if name.contains(':') {
                assert!(recorded.contains(&name), "{}: no rule records {name}", expression.place);
                continue;
            }
            if ["up", "ALERTS"].contains(&&*name) {
                continue;
            }
            let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
            let base = base.filter(|base| documented.get(*base).is_some_and(|kind| kind == "histogram"));
            used.insert(base.map_or(name.clone(), str::to_owned), expression.place.clone());
        }
    }
    used
}

#[test]
fn every_metric_is_known_and_used_or_has_a_reason_not_to_be() {
    let documented = documented();
    assert!(documented.len() > 80, "docs/METRICS.md is read wrongly: {} metrics", documented.len());
    let used = used(&documented);
    for (name, place) in &used {
        assert!(documented.contains_key(name), "{place}: {name} is not in docs/METRICS.md");
    }
    let list = std::fs::read_to_string(deploy("unused-metrics.txt")).unwrap();
    let mut unused = BTreeSet::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, reason) = line.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
        assert!(reason.len() > 10, "{line}");
        assert!(documented.contains_key(name), "unused-metrics.txt: {name} does not exist");
        assert!(!used.contains_key(name), "unused-metrics.txt: {name} is used, remove it");
        unused.insert(name);
    }
    let forgotten: Vec<&String> =
        documented.keys().filter(|name| !used.contains_key(*name) && !unused.contains(&***name)).collect();
    assert!(forgotten.is_empty(), "in no panel, rule or deploy/unused-metrics.txt: {forgotten:?}");
}
