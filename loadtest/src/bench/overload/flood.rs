//! wrk and oha: load generators that ignore `Retry-After`. Their counts are parsed from their reports.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const TIMEOUT_S: u32 = 30;

/// Options of the overload rounds.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Generators {
    /// Rounds of overload by a client that ignores refusals. 0: none.
    #[arg(long, default_value_t = 5)]
    overload_rounds: usize,
    /// Path of wrk (Debian package wrk).
    #[arg(long, default_value = "wrk")]
    wrk: PathBuf,
    /// Path of oha (scripts/cargo-tool.sh oha 1.16.0). Default: use wrk only.
    #[arg(long)]
    oha: Option<PathBuf>,
}

impl Generators {
    pub(crate) const fn rounds(&self) -> usize {
        self.overload_rounds
    }

    pub(super) fn found(&self) -> Vec<Generator> {
        let wrk =
            Command::new(&self.wrk).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let wrk = wrk.is_ok().then(|| Generator { kind: Kind::Wrk, program: self.wrk.clone() });
        if wrk.is_none() {
            crate::terminal::progress(format_args!("overload: wrk is not installed (apt-get install wrk)"));
        }
        let oha = self.oha.clone().map(|program| Generator { kind: Kind::Oha, program });
        [wrk, oha].into_iter().flatten().collect()
    }
}

#[derive(Debug)]
pub(super) struct Generator {
    kind: Kind,
    program: PathBuf,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Wrk,
    Oha,
}

#[derive(Debug)]
pub(super) struct Flood {
    generator: Generator,
    url: String,
    token: String,
    image: PathBuf,
    script: PathBuf,
}

#[derive(Debug)]
pub(super) struct Running(Child, Kind);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answers {
    pub(super) seconds: f64,
    pub(super) good: f64,
    /// All other answers.
    pub(super) refused: f64,
}

impl Flood {
    pub(super) fn prepare(
        generator: Generator,
        address: SocketAddr,
        token: &str,
        image: &Bytes,
        logs: &Path,
    ) -> Result<Self> {
        let (file, script) = (logs.join("flood.jpeg"), logs.join("flood.lua"));
        std::fs::write(&file, image)?;
        let mut lua = String::from("wrk.method = \"POST\"\n");
        let _ = write!(
            lua,
            "wrk.headers[\"Authorization\"] = \"Bearer {token}\"\nwrk.headers[\"Content-Type\"] = \"image/jpeg\"\n\
             local file = io.open(\"{}\", \"rb\")\nwrk.body = file:read(\"*all\")\nfile:close()\n",
            file.display()
        );
        std::fs::write(&script, lua)?;
        let url = format!("http://{address}/v1/predictions");
        Ok(Self { generator, url, token: token.to_owned(), image: file, script })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self.generator.kind {
            Kind::Wrk => "wrk",
            Kind::Oha => "oha",
        }
    }

    pub(super) fn start(&self, connections: usize, seconds: f64) -> Result<Running> {
        let mut command = Command::new(&self.generator.program);
        let whole_seconds = seconds.ceil().max(1.0);
        match self.generator.kind {
            Kind::Wrk => command
                .args(["-t", "1", "-c", &connections.to_string(), "-d", &format!("{whole_seconds}s")])
                .args(["--timeout", &format!("{TIMEOUT_S}s"), "-s"])
                .arg(&self.script)
                .arg(&self.url),
            Kind::Oha => command
                .args(["--no-tui", "--output-format", "json", "--method", "POST"])
                .arg("--wait-ongoing-requests-after-deadline")
                .args(["-c", &connections.to_string(), "-z", &format!("{whole_seconds}s")])
                .args([
                    "-t",
                    &format!("{TIMEOUT_S}s"),
                    "-H",
                    &format!("Authorization: Bearer {}", self.token),
                ])
                .args(["-T", "image/jpeg", "-D"])
                .arg(&self.image)
                .arg(&self.url),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| format!("{} cannot be run", self.generator.program.display()))?;
        Ok(Running(child, self.generator.kind))
    }
}

impl Running {
    pub(super) fn end(self) -> Result<Answers> {
        let output = self.0.wait_with_output()?;
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        let read = match self.1 {
            Kind::Wrk => wrk(&report),
            Kind::Oha => oha(&report),
        };
        ensure!(output.status.success(), "the load generator failed: {report}");
        read.with_context(|| format!("the load generator's report has an unknown format: {report}"))
    }
}

/// Parses `  5142 requests in 5.01s, 3.54MB read` and, if present, `  Non-2xx or 3xx responses: 4200`.
fn wrk(report: &str) -> Option<Answers> {
    let line = report.lines().find(|line| line.contains(" requests in "))?;
    let (all, rest) = line.trim().split_once(" requests in ")?;
    let time = rest.split(',').next()?;
    let seconds = match time.strip_suffix("ms") {
        Some(milliseconds) => milliseconds.parse::<f64>().ok()? / 1e3,
        None => match time.strip_suffix('m') {
            Some(minutes) => minutes.parse::<f64>().ok()? * 60.0,
            None => time.strip_suffix('s')?.parse().ok()?,
        },
    };
    let refused = report.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses: "));
    let refused: f64 = refused.map_or(Some(0.0), |text| text.parse().ok())?;
    Some(Answers { seconds, good: all.parse::<f64>().ok()? - refused, refused })
}

fn oha(report: &str) -> Option<Answers> {
    let report: serde_json::Value = serde_json::from_str(report).ok()?;
    let counts = report["statusCodeDistribution"].as_object()?;
    let count = |of: &dyn Fn(&str) -> bool| -> f64 {
        counts.iter().filter(|(status, _)| of(status)).filter_map(|(_, n)| n.as_f64()).sum()
    };
    let seconds = report["summary"]["total"].as_f64()?;
    let (good, refused) = (count(&|status| status == "200"), count(&|status| status != "200"));
    Some(Answers { seconds, good, refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_parsed() {
        let report = "Running 5s test @ http://127.0.0.1:1/\n  1 threads and 300 connections\n  Thread Stats   Avg\n  \
                      5142 requests in 5.50s, 3.54MB read\n  Non-2xx or 3xx responses: 4200\nRequests/sec: 1028.4\n";
        assert_eq!(wrk(report), Some(Answers { seconds: 5.5, good: 942.0, refused: 4200.0 }));
        let expected = Answers { seconds: 0.5, good: 10.0, refused: 0.0 };
        assert_eq!(wrk("  10 requests in 500.00ms, 1KB read"), Some(expected));
        assert_eq!(wrk("unable to connect"), None);
        let report =
            r#"{"summary": {"total": 5.2}, "statusCodeDistribution": {"200": 900, "429": 60, "503": 1}}"#;
        assert_eq!(oha(report), Some(Answers { seconds: 5.2, good: 900.0, refused: 61.0 }));
    }
}
