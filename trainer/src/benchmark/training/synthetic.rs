//! A large temporary folder of generated radiographs.

use crate::config::Config;
use crate::config::data::{Label, Layout};
use crate::progress::Meter;
use anyhow::{Context, Result, bail};
use cxr::AcceptancePolicy;
use cxr::phantom::{PhantomSpec, encode_png, generate};
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// Every 500th image has the size of an original.
const LARGE_EVERY: usize = 500;
const LARGE: (u32, u32) = (2000, 1600);
/// Side of the other images, unless the acceptance policy requires more.
const SIDE: u32 = 96;

/// Contains `train/NORMAL` and `train/PNEUMONIA`; removed when dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    side: u32,
}

impl Folder {
    /// Writes `n_images` different images, with one thread per processor.
    pub(super) fn generate(parent: &Path, n_images: usize, acceptance: &AcceptancePolicy) -> Result<Self> {
        let path = parent.join(format!("bench-{}", std::process::id()));
        let folder = Self { path, side: SIDE.max(acceptance.min_side_px) };
        for class in ["NORMAL", "PNEUMONIA"] {
            let class = folder.path.join("train").join(class);
            std::fs::create_dir_all(&class)
                .with_context(|| format!("{}: cannot be created", class.display()))?;
        }
        let n_threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let meter = Meter::new("generating images", n_images);
        let bar = meter.bar();
        std::thread::scope(|scope| {
            let write = |first: usize| -> Result<()> {
                for number in (first..n_images).step_by(n_threads) {
                    folder.write(number)?;
                    bar.inc(1);
                }
                Ok(())
            };
            let threads: Vec<_> = (0..n_threads).map(|first| scope.spawn(move || write(first))).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| bail!("a thread that generates images panicked"))
            })
        })?;
        Ok(folder)
    }

    fn write(&self, number: usize) -> Result<()> {
        let (width, height) = if number.is_multiple_of(LARGE_EVERY) { LARGE } else { (self.side, self.side) };
        let (opacity, seed) = (number % 2 == 1, number as u64);
        let pixels = generate(&PhantomSpec { seed, width, height, opacity });
        let class = if opacity { "PNEUMONIA" } else { "NORMAL" };
        let file = self.path.join("train").join(class).join(format!("phantom-{number:06}.png"));
        std::fs::write(&file, encode_png(&pixels, width, height))
            .with_context(|| format!("{}: cannot be written", file.display()))
    }

    pub(super) fn config(&self, config: &Config) -> Config {
        let mut config = config.clone();
        let data = &mut config.data;
        data.root.clone_from(&self.path);
        data.cache = Some(self.path.join("cache"));
        data.layout = Layout::Kaggle;
        data.classes =
            [("NORMAL".to_owned(), Label::Negative), ("PNEUMONIA".to_owned(), Label::Positive)].into();
        (data.patient_pattern, data.table, data.each_file_is_a_patient) = (None, None, true);
        // The train fold gets nearly all images.
        (data.select_fraction, data.calibrate_fraction, data.test_fraction) = (0.01, 0.01, 0.01);
        config
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn description(&self) -> String {
        let (width, height) = LARGE;
        format!(
            "generated radiographs, all different, PNG: {side} x {side}, every {LARGE_EVERY}th {width} x {height}",
            side = self.side
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Failure only costs disk space.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
