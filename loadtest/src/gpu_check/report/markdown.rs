//! The report as Markdown: verdict, host, steps, figures.

use super::Report;
use crate::device::{Figures, Measurement};
use crate::gpu_check::journal::Outcome;
use serde_json::Value;

pub(super) fn render(report: &Report) -> String {
    let mut page = Page::default();
    page.paragraph(&format!("# GPU check on {}", report.device));
    page.line(&format!("**{}** in {:.0} s. cxr {}.", report.verdict(), report.seconds, report.version));
    hardware(&mut page, report);
    page.heading("Steps");
    page.table(
        &["step", "outcome", "seconds", "result"],
        report.steps.iter().map(|step| {
            let emphasis = if step.outcome == Outcome::Failed { "**" } else { "" };
            vec![
                step.name.clone(),
                format!("{emphasis}{}{emphasis}", step.outcome),
                format!("{:.1}", step.seconds),
                step.detail.clone(),
            ]
        }),
    );
    training(&mut page, report);
    provider(&mut page, report);
    for measurement in &report.devices {
        device(&mut page, measurement);
    }
    torch(&mut page, report);
    load(&mut page, report);
    page.text
}

fn hardware(page: &mut Page, report: &Report) {
    let Some(host) = &report.hardware else { return };
    page.heading("Host");
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let gpus = if host.gpus.is_empty() { "none".to_owned() } else { host.gpus.join("; ") };
    let rows = [
        ("GPU", gpus),
        ("driver", or_none(&host.driver)),
        ("CUDA version of the driver", or_none(&host.cuda)),
        ("processor", format!("{}, {} threads", host.processor, host.threads)),
        ("instruction sets", host.flags.join(" ")),
        ("memory", format!("{} MiB", host.memory_mib)),
        ("system", host.system.clone()),
    ];
    page.table(&["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
}

fn training(page: &mut Page, report: &Report) {
    let Some(training) = &report.training else { return };
    page.heading("Training");
    let weights = if report.pretrained { "pretrained" } else { "random" };
    page.paragraph(&format!(
        "{} from {weights} weights, {} images in all folds, {} per step, {}.",
        report.architecture, training.images, report.batch_size, training.precision
    ));
    page.table(
        &["epoch", "train loss", "select AUC", "images/s"],
        training.epochs.iter().map(|epoch| {
            vec![
                epoch.epoch.to_string(),
                format!("{:.4}", epoch.train_loss),
                format!("{:.4}", epoch.select_auc),
                format!("{:.1}", epoch.images_per_second),
            ]
        }),
    );
}

fn provider(page: &mut Page, report: &Report) {
    let Some(proof) = &report.proof else { return };
    page.heading("Provider");
    page.paragraph("Nodes of the graph by the provider that executes them; `GET /v1/model` and `cxr_execution_nodes` agree:");
    page.table(
        &["provider", "nodes"],
        proof.assigned_nodes.iter().map(|(name, n)| vec![name.clone(), n.to_string()]),
    );
}

fn device(page: &mut Page, measurement: &Measurement) {
    let Measurement { bundle, architecture, variant, provider, intra_threads, .. } = measurement;
    page.heading(&format!("{architecture} {variant} on {provider}"));
    page.paragraph(&format!(
        "{bundle}, {intra_threads} threads per operator. *service*: as the service runs it; *bare*: a plain loop with ONNX Runtime's defaults."
    ));
    let service = ["batch", "service images/s", "p50 ms", "p99 ms"];
    page.table(
        &[service, ["bare images/s", "p50 ms", "p99 ms", "service / bare"]].concat(),
        measurement.cells.iter().map(|cell| {
            let mut row = vec![cell.batch.to_string()];
            row.extend(speed(&cell.service));
            row.extend(speed(&cell.bare));
            row.push(format!("{:.3}", cell.ratio()));
            row
        }),
    );
    page.line(&format!("- between batch sizes: {}", measurement.between_batches));
    page.line(&format!("- between runs: {}", measurement.between_runs));
    if let Some(difference) = &measurement.against_cpu {
        page.line(&format!("- against fp32 on the CPU: {difference}"));
    }
}

fn speed(figures: &Figures) -> [String; 3] {
    let Figures { images_per_second, p50_ms, p99_ms, .. } = figures;
    [format!("{images_per_second:.1}"), format!("{p50_ms:.2}"), format!("{p99_ms:.2}")]
}

fn torch(page: &mut Page, report: &Report) {
    let Some(torch) = &report.torch else { return };
    page.heading("PyTorch on the same device");
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let [architecture, version, device] = ["architecture", "torch", "device"].map(|name| word(&torch[name]));
    page.paragraph(&format!("{architecture} with PyTorch {version} on {device}."));
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let cells = torch["cells"].as_array().into_iter().flatten();
    page.table(
        &["mode", "batch", "images/s", "p50 ms", "p99 ms"],
        cells.map(|cell| {
            vec![
                word(&cell["way"]),
                cell["batch"].to_string(),
                format!("{:.1}", number(&cell["images_per_second"])),
                format!("{:.2}", number(&cell["p50_ms"])),
                format!("{:.2}", number(&cell["p99_ms"])),
            ]
        }),
    );
}

fn load(page: &mut Page, report: &Report) {
    let Some(loads) = &report.load else { return };
    page.heading("Service under load");
    page.paragraph(
        "Closed loop through HTTP, tokens verified, each answer after its audit row was flushed to disk.",
    );
    page.table(
        &["clients", "predictions/s", "p50 ms", "p99 ms"],
        loads.0.iter().map(|load| {
            vec![
                load.clients.to_string(),
                format!("{:.1}", load.requests_per_second),
                format!("{:.2}", load.p50_ms),
                format!("{:.2}", load.p99_ms),
            ]
        }),
    );
}

#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn paragraph(&mut self, text: &str) {
        self.line(text);
        self.line("");
    }

    fn heading(&mut self, heading: &str) {
        self.line("");
        self.paragraph(&format!("## {heading}"));
    }

    fn table(&mut self, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.line(&format!("| {} |", head.join(" | ")));
        self.line(&format!("|{}", " --- |".repeat(head.len())));
        for row in rows {
            // The output of programs may contain characters that would end a cell.
            let cells = row.iter().map(|cell| cell.replace('|', "/").replace('\n', " "));
            self.line(&format!("| {} |", cells.collect::<Vec<_>>().join(" | ")));
        }
        self.line("");
    }
}
