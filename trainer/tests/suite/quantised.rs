//! int8: every architecture has a variant near fp32, outputs do not depend on the batch, and adding the
//! variant changes nothing else in the bundle.

use crate::support::{Workbench, assert_accepted, fail, onnxruntime, repository, site_labels, succeed};
use cxr::bundle::Bundle;
use cxr::phantom::{PhantomSpec, generate};
use cxr_trainer::bundle::open;
use cxr_trainer::model::Architecture;
use cxr_trainer::onnx::proto::ModelProto;
use cxr_trainer::onnx::quantise::batches::same_bits;
use cxr_trainer::onnx::quantise::quantise;
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::{ModelOutputs, Runtime, Session};
use serde_json::Value;
use std::path::Path;

/// Over all graphs.
const BATCHES: usize = 1000;
const MAX_BATCH: usize = 8;

fn session(bundle: &Bundle, variant: &str) -> Session {
    let (_, variant) = bundle.variant(Some(variant)).unwrap();
    cxr_trainer::bundle::session(bundle, variant, &onnxruntime()).unwrap()
}

fn phantoms(n: u64, bundle: &Bundle) -> Vec<Vec<u8>> {
    let (width, height) = (bundle.manifest().preprocess.width, bundle.manifest().preprocess.height);
    let phantom = |seed| generate(&PhantomSpec { seed, width, height, opacity: seed % 2 == 1 });
    (1000..1000 + n).map(phantom).collect()
}

fn alone(session: &mut Session, images: &[Vec<u8>]) -> Vec<ModelOutputs> {
    images.iter().map(|image| session.run(image, 1).unwrap()).collect()
}

/// A bundle of an untrained network, at the workbench's size.
fn benchmark(workbench: &Workbench, architecture: Architecture, out: &Path) -> Bundle {
    let mut command = workbench.command_without_data("benchmark bundle");
    command.args(["--architecture", architecture.name(), "--onnxruntime"]).arg(onnxruntime());
    succeed(command.arg("--out").arg(out));
    open(out, None).unwrap()
}

/// Runs random batches and compares each image with its outputs alone.
fn assert_independent_of_batch(session: &mut Session, images: &[Vec<u8>], n_batches: usize, what: &str) {
    let expected = alone(session, images);
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for number in 0..n_batches {
        let n = random.random_range(1..=MAX_BATCH);
        let members: Vec<usize> = (0..n).map(|_| random.random_range(0..images.len())).collect();
        let pixels: Vec<u8> = members.iter().flat_map(|member| images[*member].clone()).collect();
        let batch = session.run(&pixels, n).unwrap();
        for (position, member) in members.iter().enumerate() {
            assert!(
                same_bits(&batch, position, &expected[*member]),
                "{what}: batch {number} of {n} gives image {member} other bits at position {position}"
            );
        }
    }
}

#[test]
fn every_architecture_is_near_fp32_and_independent_of_the_batch() {
    let workbench = Workbench::new(1, 1);
    let n_batches = BATCHES / (2 * Architecture::ALL.len());
    for architecture in Architecture::ALL {
        let name = architecture.name();
        let bundle = benchmark(&workbench, architecture, &workbench.path().join(name));
        let images = phantoms(12, &bundle);
        let mut outputs = Vec::new();
        for variant in ["fp32", "int8"] {
            let mut session = session(&bundle, variant);
            // A fixed batch means that `quantise` found a difference.
            if bundle.variant(Some(variant)).unwrap().1.fixed_batch.is_none() {
                assert_independent_of_batch(&mut session, &images, n_batches, &format!("{name} {variant}"));
            }
            outputs.push(alone(&mut session, &images));
        }
        let pairs = || outputs[0].iter().zip(&outputs[1]);
        let error = |part: fn(&ModelOutputs) -> &Vec<f32>| -> f64 {
            let (mut lost, mut whole) = (0.0, 0.0);
            for (fp32, int8) in pairs() {
                for (a, b) in part(fp32).iter().zip(part(int8)) {
                    lost += f64::from(a - b).powi(2);
                    whole += f64::from(*a).powi(2);
                }
            }
            (lost / whole).sqrt()
        };
        let (embedding, cam) = (error(|outputs| &outputs.embedding), error(|outputs| &outputs.cam));
        eprintln!("{name}: embedding off by {embedding:.4}, map by {cam:.4}");
        // An untrained network at 64 pixels amplifies rounding; a wrong scale or zero point loses all of it.
        assert!(embedding < 0.6, "{name}: the embedding loses {embedding:.3} of its length");
        assert!(embedding > 0.0, "{name}: nothing was quantised");
        let reported = bundle.variant(Some("int8")).unwrap().1;
        assert_eq!(reported.precision, "int8");
    }
}

#[test]
fn the_default_bundle_batches_at_its_own_size() {
    let bundle = open(&repository().join("models/default"), None).unwrap();
    let images = phantoms(6, &bundle);
    for (name, variant) in &bundle.manifest().variants {
        if variant.fixed_batch.is_none() {
            assert_independent_of_batch(&mut session(&bundle, name), &images, 12, &format!("default {name}"));
        }
    }
}

#[test]
fn only_graphs_of_this_program_are_quantised() {
    let bundle = open(&repository().join("models/default"), None).unwrap();
    let graph = bundle.file("model.onnx").unwrap();
    let image = vec![128; 224 * 224];
    let runtime = Runtime::load(&onnxruntime()).unwrap();
    let refused = |graph: &[u8], n_images: usize, bits: u32, expected: &str| {
        let images = std::iter::repeat_n(image.as_slice(), n_images);
        let error = format!("{:#}", quantise(&runtime, graph, images, (224, 224), bits).unwrap_err());
        assert!(error.contains(expected), "{error}");
    };
    refused(b"\xff\xff", 1, 7, "not an ONNX file");
    let mut longer = graph.to_vec();
    // Field 6, the doc_string, which our schema leaves out.
    longer.extend([0x32, 1, b'x']);
    refused(&longer, 1, 7, "holds more");
    let edited = |edit: &dyn Fn(&mut ModelProto)| {
        let mut model = ModelProto::decode(graph).unwrap();
        edit(&mut model);
        model.encode_to_vec()
    };
    let foreign = edited(&|model| model.graph.as_mut().unwrap().node[9].op_type = "LSTM".into());
    refused(&foreign, 1, 7, "LSTM");
    let no_cast = edited(&|model| model.graph.as_mut().unwrap().node[0].op_type = "Relu".into());
    refused(&no_cast, 1, 7, "the normalisation of the image");
    refused(graph, 0, 7, "no image was given");
    refused(graph, 1, 1, "1 bits");
    refused(graph, 1, 9, "9 bits");
}

#[test]
fn a_benchmark_bundle_states_its_purpose_and_is_reproducible() {
    let workbench = Workbench::new(1, 1);
    let out = workbench.path().join("benchmark");
    let bundle = benchmark(&workbench, Architecture::MobileNetV2, &out);
    assert_accepted(&out);
    let manifest = bundle.manifest();
    assert_eq!(manifest.name, "cxr-benchmark-mobilenetv2");
    let card = String::from_utf8_lossy(bundle.file("MODEL_CARD.md").unwrap()).into_owned();
    assert!(card.contains("For measuring speed only"), "{card}");
    assert!(manifest.intended_use.statement.contains("meaningless"));
    assert_eq!(manifest.variants.keys().collect::<Vec<_>>(), ["fp32", "int8"]);
    let again = benchmark(&workbench, Architecture::MobileNetV2, &workbench.path().join("again"));
    for file in ["model.onnx", "model-int8.onnx"] {
        assert_eq!(bundle.file(file), again.file(file), "the seed decides everything");
    }
    let command = |arguments: &[&str]| {
        let mut command = workbench.command_without_data("benchmark bundle");
        command.arg("--onnxruntime").arg(onnxruntime()).arg("--out").arg(&out).args(arguments);
        command
    };
    let printed = fail(&mut command(&["--architecture", "vgg16"]));
    assert!(printed.contains("vgg16") && printed.contains("densenet121"), "{printed}");
    let printed = fail(&mut command(&["--architecture", "resnet50", "--weights", "nowhere.safetensors"]));
    assert!(printed.contains("nowhere.safetensors"), "{printed}");
}

#[test]
fn a_run_is_exported_with_both_variants_and_a_bundle_gets_one_later() {
    let workbench = Workbench::new(60, 8);
    for step in ["train", "calibrate"] {
        succeed(&mut workbench.command(step));
    }
    for fold in ["select", "calibrate"] {
        succeed(workbench.command("evaluate").args(["--fold", fold]));
    }
    let config = std::fs::read_to_string(workbench.config()).unwrap();
    let export = |int8: &str, bump: &[&str]| {
        std::fs::write(workbench.config(), config.replace("int8: true", int8)).unwrap();
        succeed(workbench.command("export").arg("--onnxruntime").arg(onnxruntime()).args(bump));
        open(&workbench.path().join("bundle"), None).unwrap()
    };
    let plain = export("int8: false", &[]);
    assert_accepted(&workbench.path().join("bundle"));
    assert_eq!(plain.manifest().variants.len(), 1);
    let (bundle, out) = (workbench.path().join("bundle"), workbench.path().join("later"));
    let printed = succeed(workbench.revise("quantise", &bundle, &out).arg("--data").arg(workbench.data()));
    assert!(printed.contains("decisions differ"), "{printed}");
    assert_accepted(&out);
    let later = open(&out, None).unwrap();
    assert_eq!((plain.manifest().version.as_str(), later.manifest().version.as_str()), ("1.0.0", "1.1.0"));
    let changed = ["MODEL_CARD.md", "reference.json"];
    for file in plain.manifest().files.keys().filter(|file| !changed.contains(&file.as_str())) {
        assert_eq!(plain.file(file), later.file(file), "{file} stays as it is");
    }
    assert_eq!(plain.manifest().variants["fp32"], later.manifest().variants["fp32"]);
    let variants =
        |bundle: &Bundle| bundle.reference().probability_by_variant.clone().into_keys().collect::<Vec<_>>();
    assert_eq!(
        (variants(&plain), variants(&later)),
        (vec!["fp32".into()], vec!["fp32".into(), "int8".into()])
    );
    assert_eq!(plain.reference().statistics, later.reference().statistics);
    assert_eq!(later.manifest().default_variant, "fp32");
    let card = String::from_utf8_lossy(later.file("MODEL_CARD.md").unwrap()).into_owned();
    assert!(card.contains("\n### int8 variant\n") && card.contains("| int8 on select |"), "{card}");

    recalibrate_beside(&workbench, plain.digest());
    complete_beside(&workbench);

    // Exported with both variants at once: the same int8 graph, and other answers need another version.
    std::fs::write(workbench.config(), &config).unwrap();
    let printed = fail(workbench.command("export").arg("--onnxruntime").arg(onnxruntime()));
    assert!(printed.contains("--bump"), "{printed}");
    let both = export("int8: true", &["--bump", "minor"]);
    assert_eq!(both.file("model-int8.onnx"), later.file("model-int8.onnx"));
    assert_eq!(both.manifest().variants["int8"], later.manifest().variants["int8"]);

    // Other data has other folds.
    let other = Workbench::new(8, 1);
    let out = workbench.path().join("other");
    let printed = fail(other.revise("quantise", &bundle, &out).arg("--data").arg(other.data()));
    assert!(printed.contains("do not give the folds"), "{printed}");
    refuse_too_many_flips(&workbench, &config);
}

/// `recalibrate` must not reuse the version that `quantise` wrote.
fn recalibrate_beside(workbench: &Workbench, digest: &str) {
    let labels = workbench.path().join("labels.csv");
    std::fs::write(&labels, site_labels(400, 0.5, 1.2, digest)).unwrap();
    let (bundle, out) = (workbench.path().join("bundle"), workbench.path().join("site"));
    let recalibrate = |arguments: &[&str]| {
        let mut command = workbench.revise("recalibrate", &bundle, &out);
        command.arg("--labels").arg(&labels).arg("--force").args(arguments);
        command
    };
    let printed = fail(&mut recalibrate(&[]));
    assert!(printed.contains("1.1.0 is taken") && printed.contains("later has that version"), "{printed}");
    succeed(&mut recalibrate(&["--version", "1.2.0"]));
    assert_accepted(&out);
}

/// `complete` needs a free version, too.
fn complete_beside(workbench: &Workbench) {
    let out = workbench.path().join("completed");
    let complete = |arguments: &[&str]| {
        let mut command = workbench.revise("complete", &workbench.path().join("later"), &out);
        command.arg("--data").arg(workbench.data()).args(arguments);
        command
    };
    let printed = fail(&mut complete(&["--version", "1.1.0"]));
    assert!(printed.contains("--version 1.1.0") && printed.contains("1.2.0"), "{printed}");
    let printed = fail(&mut complete(&[]));
    assert!(printed.contains("1.2.0 is taken") && printed.contains("site has that version"), "{printed}");
    succeed(&mut complete(&["--version", "1.3.0"]));
    assert_accepted(&out);
    let reference = open(&out, None).unwrap().reference().clone();
    let joint = reference.joint.unwrap();
    assert_eq!(
        (reference.version, reference.n, reference.rejections.map(|found| found.n)),
        (2, joint.n, Some(joint.n))
    );
    assert_eq!(joint.probability_by_variant.keys().collect::<Vec<_>>(), ["fp32", "int8"]);
    assert_eq!(reference.position.unwrap().coordinates.len(), reference.embedding.components.len());
    std::fs::remove_dir_all(out).unwrap();
    std::fs::remove_dir_all(workbench.path().join("site")).unwrap();
}

/// An int8 variant that changes more decisions than allowed is left out of an exported bundle, whose card
/// states it, and makes `quantise` fail.
fn refuse_too_many_flips(workbench: &Workbench, config: &str) {
    let strict = config.replace("int8_max_flips: 0.5", "int8_max_flips: 0.0");
    std::fs::write(workbench.config(), &strict).unwrap();
    // fp32 now calls every image positive; int8 has its own operating point and does not.
    let file = workbench.run().join("calibration.json");
    let mut calibration: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    calibration["policy"]["threshold"] = 0.0.into();
    std::fs::write(&file, calibration.to_string()).unwrap();
    for fold in ["select", "calibrate"] {
        succeed(workbench.command("evaluate").args(["--fold", fold]));
    }
    let mut command = workbench.command("export");
    let printed = succeed(command.arg("--onnxruntime").arg(onnxruntime()).args(["--bump", "minor"]));
    let (left_out, allows) = ("int8 is left out of the bundle", "int8_max_flips: 0 allows none");
    assert!(printed.contains(left_out) && printed.contains(allows), "{printed}");
    let folder = workbench.path().join("bundle");
    let bundle = open(&folder, None).unwrap();
    assert_eq!(bundle.manifest().variants.keys().collect::<Vec<_>>(), ["fp32"]);
    assert!(bundle.file("model-int8.onnx").is_none());
    let card = String::from_utf8_lossy(bundle.file("MODEL_CARD.md").unwrap()).into_owned();
    assert!(
        card.contains("\n### int8 variant\n\nLeft out of this bundle: ") && card.contains(allows),
        "{card}"
    );
    assert_accepted(&folder);

    let out = workbench.path().join("strict");
    let quantise = |config: &str| {
        std::fs::write(workbench.config(), config).unwrap();
        fail(workbench.revise("quantise", &folder, &out).arg("--data").arg(workbench.data()))
    };
    let printed = quantise(&strict);
    assert!(printed.contains(allows) && printed.contains("nothing is written"), "{printed}");
    assert!(!out.exists());
    let printed = quantise(&config.replace("int8_max_flips: 0.5", "int8_max_flips: 2.0"));
    assert!(printed.contains("trainer.export.int8_max_flips: 2 is not in [0, 1]"), "{printed}");
}
