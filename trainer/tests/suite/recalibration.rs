//! `recalibrate`: labels of a site give the next version of a bundle, which trainer and service accept.

use crate::support::{Workbench, assert_accepted, fail, repository, site_labels, succeed};
use cxr::bundle::Bundle;
use cxr_trainer::bundle;
use cxr_trainer::release::recalibrate::Recalibration;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Site {
    workbench: Workbench,
    old: Bundle,
}

impl Site {
    fn new() -> Self {
        let old = bundle::open(&repository().join("models/default"), None).unwrap();
        Self { workbench: Workbench::new(1, 1), old }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workbench.path().join(name)
    }

    /// Labels of `n` images whose log odds are `scale` x logit + `bias`.
    fn label(&self, n: usize, (scale, bias): (f64, f64), digest: &str) -> PathBuf {
        let file = self.path("labels.csv");
        std::fs::write(&file, site_labels(n, scale, bias, digest)).unwrap();
        file
    }

    fn recalibrate(&self, out: &str) -> Command {
        self.recalibrate_from(Path::new("models/default"), out)
    }

    fn recalibrate_from(&self, bundle: &Path, out: &str) -> Command {
        let mut command = self.workbench.revise("recalibrate", bundle, &self.path(out));
        command.arg("--labels").arg(self.path("labels.csv"));
        command
    }

    /// The minor version of the default bundle plus 1 plus `beyond`.
    fn next(&self, beyond: u64) -> String {
        let parts: Vec<u64> =
            self.old.manifest().version.split('.').map(|part| part.parse().unwrap()).collect();
        format!("{}.{}.0", parts[0], parts[1] + 1 + beyond)
    }
}

fn open(folder: &Path) -> Bundle {
    bundle::open(folder, None).unwrap()
}

/// Scale and bias of a shift that the labels show clearly.
const SHIFTED: (f64, f64) = (0.5, 1.2);

#[test]
fn labels_of_a_site_make_the_next_version_with_the_same_graph() {
    let site = Site::new();
    let (_, variant) = site.old.variant(None).unwrap();
    let digest = site.old.digest().to_owned();
    site.label(1000, SHIFTED, &digest);
    let printed = succeed(&mut site.recalibrate("site"));
    assert!(printed.contains("signed by") && printed.contains("the development key"), "{printed}");
    assert!(printed.contains("variant int8 is left out"), "{printed}");

    let new = open(&site.path("site"));
    assert_accepted(&site.path("site"));
    let (_, recalibrated) = new.variant(None).unwrap();
    assert_eq!(new.manifest().version, site.next(0));
    assert_eq!(new.manifest().files[&variant.file], site.old.manifest().files[&variant.file], "the graph");
    assert_eq!(recalibrated.golden, variant.golden);
    assert!((recalibrated.calibration.scale - 0.5).abs() < 0.05, "{:?}", recalibrated.calibration);
    assert!((recalibrated.calibration.bias - 1.2).abs() < 0.1, "{:?}", recalibrated.calibration);
    assert!(recalibrated.policy.chosen.sensitivity >= 0.9);
    assert_eq!(new.reference().embedding, site.old.reference().embedding);
    // One population: the labels have no image statistics, so those of the old reference are not kept.
    let reference = new.reference();
    assert_eq!((reference.version, reference.n, reference.n_patients), (2, 1000, Some(500)));
    assert!(reference.statistics.is_empty() && reference.not_measured["mean"].contains("0 of 1000"));
    assert_eq!(reference.joint.as_ref().map(|joint| joint.n), Some(1000));
    let found: Recalibration = serde_json::from_slice(new.file("recalibration.json").unwrap()).unwrap();
    assert_eq!((found.parent_digest.as_str(), found.n_patients), (digest.as_str(), 500));
    assert!(found.after.ece.value < found.before.ece.value && found.improvement.ci95[0] > 0.0);
    let card = String::from_utf8(new.file("MODEL_CARD.md").unwrap().to_vec()).unwrap();
    let title = format!("# {} {}\n\n## Recalibration\n", new.manifest().name, site.next(0));
    assert!(card.starts_with(&title), "{card}");
    assert!(
        card.contains("see \"Recalibration\" above") && card.contains("Left out of this version"),
        "{card}"
    );
    assert_eq!(card.matches("sigmoid(").count(), 2, "the new calibration and the old one: {card}");
    let policy = &recalibrated.policy;
    for stated in [
        format!("- Operating point: {:.4}, with sensitivity", policy.threshold),
        format!(
            "- Review band: probabilities from {:.4} to {:.4}",
            policy.review_band.low, policy.review_band.high
        ),
        format!("- Out of distribution: scores above {:.3}", policy.ood_threshold),
    ] {
        assert!(card.contains(&stated), "{stated}: {card}");
    }

    // Labels of the parent bundle are accepted for the new one, but cannot improve it a second time.
    let printed = fail(&mut site.recalibrate_from(&site.path("site"), "again"));
    assert!(printed.contains("not shown to be better"), "{printed}");
}

#[test]
fn too_few_labels_and_no_improvement_are_refused() {
    let site = Site::new();
    let calibration = site.old.variant(None).unwrap().1.calibration;
    let refused = |n: usize, shift: (f64, f64), digest: &str, arguments: &[&str], expected: &str| {
        site.label(n, shift, digest);
        let printed = fail(site.recalibrate("site").args(arguments));
        assert!(printed.contains(expected), "{printed}");
        assert!(!site.path("site").exists(), "nothing is written");
    };
    let digest = site.old.digest();
    refused(60, SHIFTED, digest, &[], "recalibration_min_per_class");
    refused(1000, (calibration.scale, calibration.bias), digest, &[], "not shown to be better");
    refused(1000, SHIFTED, "f00d", &[], "1000 of another bundle");
    refused(1000, SHIFTED, digest, &["--version", &site.old.manifest().version], "later minor version");
    refused(1000, SHIFTED, digest, &["--signing-key", "nowhere.pem"], "nowhere.pem");
    // A folder of other files is not replaced.
    let (note, mine) = (site.path("mine/note.txt"), site.path("mine"));
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(&note, "keep").unwrap();
    let printed = fail(&mut site.recalibrate("mine"));
    assert!(printed.contains("holds files and no bundle.json") && note.exists(), "{printed}");
    site.label(60, SHIFTED, digest);
    succeed(site.recalibrate("site").arg("--force"));
    let card = String::from_utf8(open(&site.path("site")).file("MODEL_CARD.md").unwrap().to_vec()).unwrap();
    assert!(card.contains("- Forced: labels of ") && card.contains("requires 100 of each"), "{card}");
}

#[test]
fn one_version_never_has_two_sets_of_answers() {
    let site = Site::new();
    let digest = site.old.digest().to_owned();
    site.label(1000, SHIFTED, &digest);
    succeed(&mut site.recalibrate("one"));
    // The same answers may have the same version in another folder.
    succeed(&mut site.recalibrate("same"));

    site.label(1000, (0.4, 2.0), &digest);
    let refused = |out: &str, arguments: &[&str], by: &str| {
        let printed = fail(site.recalibrate(out).args(arguments));
        let taken = format!("cxr-pneumonia {} is taken: ", site.next(0));
        assert!(printed.contains(&taken) && printed.contains(by), "{printed}");
        assert!(printed.contains("--version"), "{printed}");
    };
    let before = open(&site.path("one")).digest().to_owned();
    refused("one", &[], "one has that version");
    refused("two", &[], "has that version with other answers");
    assert!(!site.path("two").exists());
    assert_eq!(open(&site.path("one")).digest(), before);
    // Another version is accepted: with the name of the site as build metadata, or a later one.
    let named = format!("{}+st-marys", site.next(0));
    succeed(site.recalibrate("two").args(["--version", &named]));
    assert_eq!(open(&site.path("two")).manifest().version, named);
    assert_accepted(&site.path("two"));
    succeed(site.recalibrate("three").args(["--version", &site.next(1)]));
    // A later version is not replaced by an earlier one.
    site.label(1000, (0.45, 1.7), &digest);
    let printed = fail(site.recalibrate("three").args(["--version", &format!("{}+a", site.next(0))]));
    assert!(printed.contains("is later than"), "{printed}");

    // The registry knows versions whose folders are gone.
    let register = |bundle: &str| {
        let mut command = site.workbench.command_without_data("register");
        command.arg(site.path(bundle)).arg("--run").arg(site.path(&format!("run-{bundle}")));
        command
    };
    let printed = succeed(&mut register("one"));
    assert!(printed.contains("registered"), "{printed}");
    for folder in ["one", "same"] {
        std::fs::remove_dir_all(site.path(folder)).unwrap();
    }
    refused("elsewhere/four", &[], "version 1 of cxr-pneumonia in");
    assert!(!site.path("elsewhere").exists());
    // Made with another registry, it is refused at registration.
    let config = std::fs::read_to_string(site.workbench.config()).unwrap();
    let (store, other) = (site.path("mlruns"), site.path("other-registry"));
    let elsewhere = config.replace(&store.display().to_string(), &other.display().to_string());
    std::fs::write(site.workbench.config(), elsewhere).unwrap();
    succeed(&mut site.recalibrate("elsewhere/four"));
    std::fs::write(site.workbench.config(), config).unwrap();
    let printed = fail(&mut register("elsewhere/four"));
    assert!(printed.contains("a released version never changes"), "{printed}");
}

#[test]
fn a_bundle_that_fails_verification_is_not_registered() {
    let workbench = Workbench::new(1, 1);
    let bundle = workbench.path().join("bundle");
    let copied = Command::new("cp").arg("-r").arg(repository().join("models/default")).arg(&bundle).status();
    assert!(copied.unwrap().success());
    std::fs::write(bundle.join("note.txt"), "x").unwrap();
    let mut register = workbench.command_without_data("register");
    let printed = fail(register.arg(&bundle).arg("--run").arg(workbench.run()));
    assert!(printed.contains("must not be registered") && printed.contains("note.txt"), "{printed}");
    assert!(!workbench.path().join("mlruns").exists());
}
