//! Standard output and progress: bars on a terminal, lines elsewhere. No other module prints.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Interval of progress lines where there is no bar.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

pub fn say(line: impl AsRef<str>) {
    // `println!` would panic if the terminal is gone, and end a training run.
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}

#[derive(Debug)]
pub struct Meter {
    bar: ProgressBar,
    what: String,
    n_images: usize,
    started: Instant,
    last_line: Cell<Instant>,
}

impl Meter {
    pub fn new(what: impl Into<String>, n_images: usize) -> Self {
        let what = what.into();
        let style =
            ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} images {per_sec} {msg} {eta}");
        let bar = ProgressBar::with_draw_target(Some(n_images as u64), ProgressDrawTarget::stderr())
            .with_prefix(what.clone())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, what, n_images, started: Instant::now(), last_line: Cell::new(Instant::now()) }
    }

    /// For steps that count from several threads.
    pub const fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Counts `n` more images; `detail` is called only if it is shown.
    pub fn advance(&self, n: usize, detail: impl FnOnce() -> String) {
        self.bar.inc(n as u64);
        if std::io::stderr().is_terminal() {
            self.bar.set_message(detail());
        } else if self.last_line.get().elapsed() > LINE_INTERVAL {
            self.last_line.set(Instant::now());
            let (done, rate) = (self.bar.position(), self.images_per_second());
            say(format!("{}: {done}/{} images, {rate:.1} images/s, {}", self.what, self.n_images, detail()));
        }
    }

    pub fn images_per_second(&self) -> f64 {
        self.bar.position() as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
