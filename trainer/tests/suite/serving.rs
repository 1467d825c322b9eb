//! From serving to recalibration as docs/RECALIBRATION.md describes: a production service answers, radiologists label, the log is exported and
//! taken as it is, and the service goes on with the new bundle.

use crate::support::{Workbench, fail, onnxruntime, repository, succeed};
use cxr::bundle::Bundle;
use cxr_trainer::bundle;
use cxr_trainer::release::recalibrate::Recalibration;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server, binary};
use system_tests::site::Site;
use system_tests::{images, postgres};

/// Images that are sent; two of each person.
const N: u64 = 60;
/// Of these, the first ones get no label.
const N_UNLABELLED: usize = 4;

/// The site's service, and the trainer beside it.
struct Hospital {
    site: Site,
    server: Server,
    workbench: Workbench,
}

impl Hospital {
    async fn open() -> Self {
        let site = Site::migrated();
        let server = site.options().start_ready().await;
        let workbench = Workbench::new(1, 1);
        let few = format!(
            "trainer: {{ calibration: {{ recalibration_min_per_class: 10 }}, tracking: {{ store: {} }} }}",
            workbench.path().join("mlruns").display()
        );
        std::fs::write(workbench.config(), few).unwrap();
        Self { site, server, workbench }
    }

    async fn predict(&self, seed: u64) -> Value {
        let request = self.server.client.post(format!("{}/v1/predictions?age=4&view=AP", self.server.base));
        let request = request.bearer_auth(self.site.token("predict"));
        let request = request.header("X-Subject-Id", format!("person-{}", seed / 2));
        let answer = request.body(images::jpeg(seed, seed % 2 == 1)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", self.server.log());
        answer.json().await.unwrap()
    }

    async fn log(&self, format: &str) -> String {
        let url = format!("{}/v1/predictions?format={format}", self.server.base);
        let request = self.server.client.get(url).bearer_auth(self.site.token("audit:read"));
        request.send().await.unwrap().text().await.unwrap()
    }

    async fn label(&self, id: &str, positive: bool, labelled_at: &str) {
        let label = if positive { "positive" } else { "negative" };
        let statement = json!({ "label": label, "source": "radiologist", "labelled_at": labelled_at });
        let request = self.server.client.post(format!("{}/v1/predictions/{id}/labels", self.server.base));
        let request = request.bearer_auth(self.site.token("label")).json(&statement);
        assert_eq!(request.send().await.unwrap().status(), 201);
    }

    fn recalibrate(&self, bundle: &str, labels: &str, out: &str) -> Command {
        let mut command = self.workbench.command_without_data("recalibrate");
        let etc = self.site.config();
        command.arg("--bundle").arg(etc.join(bundle)).arg("--labels").arg(labels);
        command.arg("--out").arg(etc.join(out)).arg("--onnxruntime").arg(onnxruntime());
        command.arg("--signing-key").arg(etc.join("bundle.key"));
        command
    }

    fn bundle(&self, folder: &str) -> Bundle {
        bundle::open(&self.site.config().join(folder), None).unwrap()
    }

    /// `cxr-service bundle verify` with the site's key.
    fn verify(&self, folder: &str) -> Command {
        let etc = self.site.config();
        let mut command = Command::new(binary());
        command.args(["bundle", "verify", "--public-key"]).arg(etc.join("bundle.pub.pem"));
        command.arg(etc.join(folder));
        command
    }
}

/// With a text as standard input.
fn with_input(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Labels of the answered images, by the rank of their logits, with errors on both sides: what no calibration of the shipped bundle says.
fn truth(log: &str) -> Vec<(String, bool)> {
    let rows = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut rows: Vec<(f64, String)> = rows
        .filter(|row| row["outcome"] == "predicted" && row["decision"] != "refer")
        .map(|row| (row["logit"].as_f64().unwrap(), row["id"].as_str().unwrap().to_owned()))
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n = rows.len();
    rows.into_iter().enumerate().map(|(rank, (_, id))| (id, (2 * rank >= n) != (rank % 5 == 2))).collect()
}

fn calibration(bundle: &Bundle) -> (f64, f64) {
    let calibration = bundle.variant(None).unwrap().1.calibration;
    (calibration.scale, calibration.bias)
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_a_production_service_become_the_bundle_that_it_serves_next() {
    if !Command::new(repository().join("scripts/private-postgres.sh"))
        .arg("find")
        .output()
        .unwrap()
        .status
        .success()
    {
        system_tests::skipped("no initdb, so no private Postgres");
        return;
    }
    let hospital = Hospital::open().await;
    let mut first = Value::Null;
    for seed in 0..N {
        first = hospital.predict(seed).await;
    }
    let blank = hospital.server.client.post(format!("{}/v1/predictions", hospital.server.base));
    let blank = blank.bearer_auth(hospital.site.token("predict")).body(images::blank());
    assert_eq!(blank.send().await.unwrap().status(), 422);

    let mut truth = truth(&hospital.log("ndjson").await);
    let n_answered = truth.len();
    let unlabelled: Vec<_> = truth.drain(..N_UNLABELLED).collect();
    for (id, positive) in &truth {
        hospital.label(id, *positive, "2026-03-01T10:00:00Z").await;
    }
    // What was said before counts no more, though it is written down later.
    hospital.label(&truth[0].0, !truth[0].1, "2026-02-01T10:00:00Z").await;

    // The audit log's own export, from the command line.
    let log = hospital.site.folder.path().join("log.ndjson");
    let (done, told) = hospital.site.run(&["audit", "export", "--out", log.to_str().unwrap()]);
    assert!(done, "{told}");
    let printed = succeed(&mut hospital.recalibrate("model", log.to_str().unwrap(), "model-next"));
    for expected in [
        &format!("{} without a label", unlabelled.len()),
        "1 without a prediction (rejected)",
        "1 images had another label before",
        &format!("{} radiologist", truth.len()),
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    if n_answered < N as usize {
        assert!(printed.contains(&format!("{} referred", N as usize - n_answered)), "{printed}");
    }
    let (old, next) = (hospital.bundle("model"), hospital.bundle("model-next"));
    let n_positive = truth.iter().filter(|(_, positive)| *positive).count();
    let found: Recalibration = serde_json::from_slice(next.file("recalibration.json").unwrap()).unwrap();
    assert_eq!(found.n, [truth.len() - n_positive, n_positive]);
    assert!(found.n_patients <= N as usize / 2, "images of one person are one patient");

    // What the API gives out says the same, through a pipe.
    for format in ["ndjson", "csv"] {
        let (log, out) = (hospital.log(format).await, format!("{format}/model"));
        let output = with_input(hospital.recalibrate("model", "-", &out).args(["--version", "1.99.0"]), &log);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ((scale, bias), expected) = (calibration(&hospital.bundle(&out)), calibration(&next));
        assert!(
            (scale - expected.0).abs() < 1e-6 && (bias - expected.1).abs() < 1e-6,
            "{format}: {scale} {bias}"
        );
    }
    everybody_accepts(&hospital);
    in_development(&hospital, log.to_str().unwrap()).await;
    serves(&hospital, &first, &old, &next).await;

    // The rows of before are still labels for the next bundle: its network is theirs. It has learnt from them already.
    let mut again = hospital.recalibrate("model", log.to_str().unwrap(), "again");
    let printed = fail(&mut again);
    assert!(printed.contains("not shown to be better"), "{printed}");
}

/// The judges of the trainer and of the service, with the key that signed.
fn everybody_accepts(hospital: &Hospital) {
    let etc = hospital.site.config();
    let trainer = |subcommand: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cxr-trainer"));
        command.current_dir(repository()).arg(subcommand).arg(etc.join("model-next"));
        command.arg("--public-key").arg(etc.join("bundle.pub.pem")).arg("--onnxruntime").arg(onnxruntime());
        command
    };
    succeed(&mut trainer("verify"));
    let run = hospital.workbench.run();
    succeed(trainer("register").arg("--config").arg(hospital.workbench.config()).arg("--run").arg(run));
    succeed(&mut hospital.verify("model-next"));
}

/// The bundle takes the old one's place, and answers.
async fn serves(hospital: &Hospital, first: &Value, old: &Bundle, next: &Bundle) {
    let etc = hospital.site.config();
    std::fs::rename(etc.join("model"), etc.join("model-old")).unwrap();
    std::fs::rename(etc.join("model-next"), etc.join("model")).unwrap();
    hospital.server.signal("HUP");
    let begun = Instant::now();
    let answer = loop {
        let answer = hospital.predict(N - 1).await;
        if answer["model"]["digest"] == next.digest() {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", hospital.server.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(answer["model"]["version"], next.manifest().version.as_str());
    assert_eq!(first["model"]["version"], old.manifest().version.as_str());
    let threshold = next.variant(None).unwrap().1.policy.threshold;
    assert!((answer["threshold"].as_f64().unwrap() - threshold).abs() < 1e-12, "{answer}");
}

/// Signed with the development key it serves on one's own machine, and in production once the site has signed it.
async fn in_development(hospital: &Hospital, log: &str) {
    let out = "development/model";
    let development = repository().join("config/development-signing-key.pem");
    let mut command = hospital.workbench.command_without_data("recalibrate");
    command.arg("--bundle").arg(hospital.site.config().join("model")).args([
        "--labels",
        log,
        "--version",
        "1.98.0",
    ]);
    command.arg("--out").arg(hospital.site.config().join(out)).arg("--onnxruntime").arg(onnxruntime());
    let printed = succeed(command.arg("--signing-key").arg(&development));
    assert!(printed.contains("the production profile refuses it"), "{printed}");
    let folder = hospital.site.config().join(out);
    let server = Options::on(&postgres::shared().database()).set("model.bundle", &folder.display());
    let answer = server.start_ready().await.post("?age=4&view=AP", images::jpeg(1, true)).await;
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["model"]["version"], "1.98.0", "{answer}");

    fail(&mut hospital.verify(out));
    sign(&hospital.site.config().join("bundle.key"), &folder);
    succeed(&mut hospital.verify(out));
}

fn sign(key: &Path, folder: &Path) {
    succeed(Command::new(binary()).args(["bundle", "sign", "--key"]).arg(key).arg(folder));
}
