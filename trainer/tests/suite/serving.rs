//! From serving to recalibration, as docs/RECALIBRATION.md describes: a production service answers,
//! radiologists label, the exported log recalibrates the bundle, and the service reloads it.

use crate::support::{Workbench, fail, onnxruntime, repository, succeed};
use cxr::bundle::Bundle;
use cxr_trainer::bundle;
use cxr_trainer::release::recalibrate::Recalibration;
use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use system_tests::server::{Options, Server, binary};
use system_tests::site::Site;
use system_tests::{images, postgres};

/// Images to send, two per patient.
const N: u64 = 60;
/// Images that get no label.
const N_UNLABELLED: usize = 4;

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
        let etc = self.site.config();
        let mut command = self.workbench.revise("recalibrate", &etc.join(bundle), &etc.join(out));
        command.args(["--labels", labels, "--signing-key"]).arg(etc.join("bundle.key"));
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

fn with_input(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Labels by the rank of the logits, with errors on both sides, so that no calibration of the default bundle
/// fits them.
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
    let found = Command::new(repository().join("scripts/private-postgres.sh")).arg("find").output().unwrap();
    if !found.status.success() {
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
    // An earlier `labelled_at` is not the current label, even if it is recorded later.
    hospital.label(&truth[0].0, !truth[0].1, "2026-02-01T10:00:00Z").await;

    // The export of the whole audit log.
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
    assert!(found.n_patients <= N as usize / 2, "images of one patient are grouped");

    // The API gives the same labels, here through a pipe.
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
    assert_verified(&hospital);
    serve_in_development(&hospital, log.to_str().unwrap()).await;
    reload(&hospital, &first, &old, &next).await;

    // Labels of the old bundle are accepted for the new one, which has the same network, but cannot improve
    // it again.
    let mut again = hospital.recalibrate("model", log.to_str().unwrap(), "again");
    let printed = fail(&mut again);
    assert!(printed.contains("not shown to be better"), "{printed}");
}

/// By trainer, registry and service, with the site's key.
fn assert_verified(hospital: &Hospital) {
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

/// Replaces the bundle and waits until it answers.
async fn reload(hospital: &Hospital, first: &Value, old: &Bundle, next: &Bundle) {
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

/// A bundle signed with the development key serves in development, and in production once the site has signed
/// it.
async fn serve_in_development(hospital: &Hospital, log: &str) {
    let out = "development/model";
    let development = repository().join("config/development-signing-key.pem");
    let folder = hospital.site.config().join(out);
    let mut command =
        hospital.workbench.revise("recalibrate", &hospital.site.config().join("model"), &folder);
    command.args(["--labels", log, "--version", "1.98.0", "--signing-key"]).arg(&development);
    let printed = succeed(&mut command);
    assert!(printed.contains("the production profile refuses it"), "{printed}");
    let server = Options::on(&postgres::shared().database()).set("model.bundle", &folder.display());
    let answer = server.start_ready().await.post("?age=4&view=AP", images::jpeg(1, true)).await;
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["model"]["version"], "1.98.0", "{answer}");

    fail(&mut hospital.verify(out));
    let mut sign = Command::new(binary());
    sign.args(["bundle", "sign", "--key"]).arg(hospital.site.config().join("bundle.key")).arg(&folder);
    succeed(&mut sign);
    succeed(&mut hospital.verify(out));
}
