//! The cache of decoded pixels is shared and rebuilt if damaged; `benchmark training` measures it.

use crate::support::{SIDE, Workbench, succeed};
use cxr_trainer::benchmark::training::TrainingBenchmark;
use cxr_trainer::config::Config;
use cxr_trainer::data::index::Index;
use cxr_trainer::data::pixels::Pixels;
use cxr_trainer::data::recipe::Recipe;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A phantom data set with its own cache.
struct Cached {
    workbench: Workbench,
    config: Config,
    index: Index,
}

impl Cached {
    fn new() -> Self {
        let workbench = Workbench::new(8, 1);
        let mut config = Config::load(&[workbench.config()], None).unwrap();
        config.data.root = workbench.data();
        let index = Index::scan(&config.data.root, &config.data).unwrap();
        Self { workbench, config, index }
    }

    fn open(&self) -> Pixels {
        let recipe = Recipe { acceptance: self.config.acceptance, preprocess: self.config.preprocess };
        let progress = indicatif::ProgressBar::hidden();
        Pixels::decode(&self.index, self.index.entries.clone(), &recipe, &self.folder(), &progress).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.workbench.path().join("pixels")
    }

    /// The only file with this extension.
    fn file(&self, extension: &str) -> PathBuf {
        let files = std::fs::read_dir(self.folder()).unwrap().map(|file| file.unwrap().path());
        let mut found = files.filter(|path| path.extension().is_some_and(|found| found == extension));
        let file = found.next().unwrap();
        assert!(found.next().is_none(), "two {extension} files");
        file
    }

    fn everything(&self) -> Vec<u8> {
        let pixels = self.open();
        pixels.gather(&(0..pixels.len()).collect::<Vec<_>>())
    }
}

#[test]
fn pixels_are_decoded_once_and_again_if_the_cache_is_damaged() {
    let cached = Cached::new();
    let expected = cached.everything();
    let written = |extension: &str| cached.file(extension).metadata().unwrap().modified().unwrap();
    let (pixels, header) = (written("u8"), written("json"));
    assert_eq!(cached.everything(), expected);
    assert_eq!((written("u8"), written("json")), (pixels, header), "an intact cache is not written again");

    let damages: [(&str, fn(&File)); 5] = [
        ("u8", |file| file.write_all_at(&[77], 5000).unwrap()),
        ("u8", |file| file.set_len(5000).unwrap()),
        ("json", |file| file.set_len(100).unwrap()),
        // A digit of a statistic.
        ("json", |file| {
            let mut text = vec![0; file.metadata().unwrap().len() as usize];
            file.read_exact_at(&mut text, 0).unwrap();
            let mean = String::from_utf8(text).unwrap().find("\"mean\":0.").unwrap() + 9;
            file.write_all_at(b"123", mean as u64).unwrap();
        }),
        // Another process died while decoding.
        ("lock", |_| ()),
    ];
    let statistics = cached.open().statistics;
    for (extension, damage) in damages {
        let file = cached.file(extension);
        std::fs::write(file.with_extension("partial"), b"left behind").unwrap();
        damage(&File::options().read(true).write(true).open(&file).unwrap());
        if extension == "lock" {
            std::fs::remove_file(cached.file("u8")).unwrap();
        }
        assert_eq!(cached.everything(), expected, "{extension}");
        assert_eq!(cached.open().statistics, statistics);
    }
}

#[test]
fn concurrent_readers_wait_for_the_one_that_decodes() {
    let cached = Cached::new();
    let all: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| cached.everything())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(!cached.file("u8").with_extension("partial").exists());
}

#[test]
fn another_recipe_has_its_own_pixels() {
    let mut cached = Cached::new();
    let squashed = cached.everything();
    let first = cached.file("u8");
    cached.config.preprocess.stored_jpeg_quality = Some(30);
    let stored = cached.open();
    assert_ne!(stored.gather(&[0]), squashed[..(SIDE * SIDE) as usize]);
    assert!(first.exists());
}

#[test]
fn benchmark_training_measures_speed_and_memory() {
    let workbench = Workbench::new(40, 1);
    let mut command = workbench.command("benchmark training");
    let printed = succeed(command.args(["--rounds", "2", "--steps", "1", "--memory-images", "300"]));
    assert!(printed.contains("full / bare") && printed.contains("memory:"), "{printed}");
    let written = std::fs::read(workbench.run().join("bench.json")).unwrap();
    let benchmark: TrainingBenchmark = serde_json::from_slice(&written).unwrap();
    assert_eq!(benchmark.throughput.rounds.len(), 2);
    let memory = benchmark.memory.unwrap();
    assert_eq!(memory.above_bare_bytes, memory.full_peak_bytes - memory.bare_peak_bytes);
    assert!(memory.n_train > 250 && memory.n_train < 300, "{memory:?}");
    let left: Vec<_> = std::fs::read_dir(workbench.path().join("cache")).unwrap().collect();
    assert!(left.iter().all(|entry| !entry.as_ref().unwrap().path().is_dir()), "{left:?}");
}
