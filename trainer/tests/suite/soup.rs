//! Weight soups: what a mean must be, what stays out of it, and that the result is a run like any other.

use crate::support::{Workbench, fail, seed, succeed};
use cxr_trainer::model::weights::{self, NamedTensors};
use cxr_trainer::soup::Soup;
use std::path::{Path, PathBuf};
use std::process::Command;

fn tensors(run: &Path) -> NamedTensors {
    weights::read(&run.join("best.safetensors")).unwrap().0
}

fn soup_file(run: &Path) -> Soup {
    serde_json::from_slice(&std::fs::read(run.join("soup.json")).unwrap()).unwrap()
}

/// The command `subcommand` of the workbench on another run directory.
fn on(workbench: &Workbench, subcommand: &str, run: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
    command.current_dir(crate::support::repository()).env("OMP_NUM_THREADS", "1").arg(subcommand);
    command.arg("--run").arg(run).arg("--config").arg(workbench.config()).arg("--data").arg(workbench.data());
    command
}

/// A copy of a run that says the opposite, three times as loud: the mean of both says the opposite too.
fn spoilt(run: &Path) -> PathBuf {
    let copy = run.with_file_name("spoilt");
    std::fs::create_dir_all(&copy).unwrap();
    for file in ["config.yaml", "folds.json"] {
        std::fs::copy(run.join(file), copy.join(file)).unwrap();
    }
    let (tensors, note) = weights::read(&run.join("best.safetensors")).unwrap();
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let bad = if name.starts_with("classifier.") { tensor * -3.0 } else { tensor };
            (name, bad)
        })
        .collect();
    std::fs::write(copy.join("best.safetensors"), weights::encode(&tensors, note.unwrap()).unwrap()).unwrap();
    copy
}

#[test]
fn a_soup_is_a_run_and_bad_ingredients_stay_out() {
    let workbench = Workbench::new(60, 8);
    succeed(&mut workbench.command("train"));
    let first = workbench.run();

    let itself = workbench.path().join("itself");
    let mut command = on(&workbench, "soup", &itself);
    succeed(command.args(["--statistics", "averaged", "--from"]).args([&first, &first]));
    let (expected, found) = (tensors(&first), tensors(&itself));
    assert!(expected.iter().all(|(name, tensor)| tensor.equal(&found[name])));
    assert!(soup_file(&itself).ingredients.iter().all(|tried| tried.kept));

    let mixed = workbench.path().join("mixed");
    let mut command = on(&workbench, "soup", &mixed);
    command.args(["--augmented-copies", "1", "--from"]).arg(&first).arg(spoilt(&first));
    let printed = succeed(&mut command);
    let soup = soup_file(&mixed);
    let kept: Vec<bool> = soup.ingredients.iter().map(|tried| tried.kept).collect();
    assert_eq!(kept, [true, false], "{printed}");
    assert!(soup.result.judged <= soup.averaged.judged && soup.estimated.is_some());
    let found = tensors(&mixed);
    let parameters = expected.iter().filter(|(name, _)| !name.contains("running_"));
    assert!(parameters.into_iter().all(|(name, tensor)| tensor.equal(&found[name])));

    succeed(&mut on(&workbench, "calibrate", &mixed));
    succeed(on(&workbench, "evaluate", &mixed).args(["--fold", "select"]));

    let printed = fail(on(&workbench, "soup", &first).arg("--from").arg(&first));
    assert!(printed.contains("holds a trained run"), "{printed}");
    let config = std::fs::read_to_string(first.join("config.yaml")).unwrap();
    let stranger = spoilt(&first);
    let (ours, other) = (format!("seed: {}", seed()), format!("seed: {}", seed() + 1));
    assert!(config.contains(&ours), "{config}");
    std::fs::write(stranger.join("config.yaml"), config.replace(&ours, &other)).unwrap();
    let printed = fail(on(&workbench, "soup", &mixed).arg("--from").arg(&first).arg(&stranger));
    assert!(printed.contains("another seed"), "{printed}");
    let printed =
        fail(on(&workbench, "soup", &mixed).args(["--towards-pretrained", "0.2", "--from"]).arg(&first));
    assert!(printed.contains("no pretrained backbone"), "{printed}");
}
