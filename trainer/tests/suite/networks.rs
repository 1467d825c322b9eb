//! The networks: exported graphs give the same outputs, maps equal Grad-CAM, and weights that do not fit are
//! refused.

use crate::support::{SIDE, expect_all, onnxruntime};
use cxr::phantom::{PhantomSpec, generate};
use cxr_trainer::export::parity;
use cxr_trainer::files::write_atomically;
use cxr_trainer::model::weights::NamedTensors;
use cxr_trainer::model::{Architecture, Network, Precision, weights};
use cxr_trainer::onnx;
use runtime::{Runtime, SessionOptions};
use tch::{Device, Kind, Tensor};

/// Randomises the normalisations: folding fresh ones, which are the identity, would prove nothing.
fn network(architecture: Architecture) -> Network {
    tch::manual_seed(7);
    let network = Network::new(architecture, 0.2, Precision::Fp32, Device::Cpu);
    tch::no_grad(|| {
        for (name, mut tensor) in network.named_tensors() {
            let is_norm = tensor.dim() == 1 && !name.starts_with("classifier");
            let _ = match name.rsplit('.').next().unwrap() {
                "running_mean" | "bias" if is_norm => tensor.uniform_(-0.3, 0.3),
                "running_var" | "weight" if is_norm => tensor.uniform_(0.6, 1.4),
                _ => tensor,
            };
        }
    });
    network
}

fn phantoms(n: u64, (width, height): (u32, u32)) -> Vec<Vec<u8>> {
    (0..n).map(|seed| generate(&PhantomSpec { seed, width, height, opacity: seed % 2 == 0 })).collect()
}

fn parity_of(network: &Network, parameters: &NamedTensors, size: (u32, u32)) -> parity::Parity {
    let architecture = network.architecture();
    let graph = onnx::encode(architecture, parameters, size).unwrap();
    let runtime = Runtime::load(&onnxruntime()).unwrap();
    let contract = onnx::contract(architecture, size);
    let mut session = runtime.session(&graph, &contract, &SessionOptions::default()).unwrap();
    parity::compare(network, &mut session, &phantoms(3, size), size).unwrap()
}

#[test]
fn onnx_runtime_reproduces_every_architecture() {
    for architecture in Architecture::ALL {
        // The second size is not square, and its sides are not multiples of 32.
        for size in [(SIDE, SIDE), (100, 72)] {
            let network = network(architecture);
            let parity = parity_of(&network, &network.named_tensors(), size);
            parity.check().unwrap_or_else(|error| panic!("{} {size:?}: {error}", architecture.name()));
        }
    }
}

#[test]
fn a_graph_of_other_weights_fails_parity() {
    let network = network(Architecture::MobileNetV2);
    let mut parameters = network.named_tensors();
    let bias = parameters["features.18.1.bias"].detach() + 0.01;
    parameters.insert("features.18.1.bias".to_owned(), bias);
    let parity = parity_of(&network, &parameters, (SIDE, SIDE));
    assert!(parity.check().unwrap_err().to_string().contains("does not reproduce"), "{parity}");
}

#[test]
fn the_map_averages_to_the_logit() {
    for architecture in Architecture::ALL {
        let network = network(architecture);
        let images = phantoms(2, (SIDE, SIDE)).concat();
        let size = [2, 1, i64::from(SIDE), i64::from(SIDE)];
        let outputs =
            network.outputs(&Tensor::from_data_size(&images, &size, Kind::Uint8).to_kind(Kind::Float));
        let bias = &network.named_tensors()["classifier.bias"];
        let from_map = outputs.cam.mean_dim([2i64, 3].as_slice(), false, Kind::Float) + bias;
        let difference = (from_map - &outputs.logits).abs().max().double_value(&[]);
        let largest = outputs.logits.abs().max().double_value(&[]);
        assert!(difference < 1e-5 * largest.max(10.0), "{}: {difference}", architecture.name());
    }
}

#[test]
fn weights_that_do_not_fit_are_named_one_by_one() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("weights.safetensors");
    let network = network(Architecture::MobileNetV2);
    let mut tensors = network.named_tensors();
    tensors.remove("features.3.conv.1.0.weight");
    tensors.insert("features.18.1.bias".into(), Tensor::zeros([7], (Kind::Float, Device::Cpu)));
    tensors.insert("features.99.weight".into(), Tensor::zeros([1], (Kind::Float, Device::Cpu)));
    write_atomically(&file, &weights::encode(&tensors, String::new()).unwrap()).unwrap();
    let before = network.named_tensors()["features.0.0.weight"].copy();
    let error = format!("{:#}", network.load_backbone(&file).unwrap_err());
    let expected = [
        "3 tensors do not match",
        "features.3.conv.1.0.weight: missing",
        "features.18.1.bias: has shape [7], expected [1280]",
        "features.99.weight: not a tensor of this network",
    ];
    expect_all(&error, &expected);
    assert!(before.equal(&network.named_tensors()["features.0.0.weight"]), "nothing is copied on error");

    // A wrong type is one more line of the same list.
    let half = tensors["features.0.0.weight"].to_kind(Kind::Half);
    tensors.insert("features.0.0.weight".into(), half);
    Tensor::write_safetensors(&tensors.iter().collect::<Vec<_>>(), &file).unwrap();
    let error = format!("{:#}", network.load_backbone(&file).unwrap_err());
    let wrong_type = "features.0.0.weight: is F16, expected F32";
    expect_all(&error, &["4 tensors do not match", wrong_type, "features.99.weight: not a tensor"]);
    let error = format!("{:#}", weights::read(&file).unwrap_err());
    assert!(error.contains("features.0.0.weight is F16"), "{error}");
}

/// A file like torchvision's state dictionaries: with batch counters and a classifier of 1000 classes.
#[test]
fn torchvisions_classifier_and_counters_are_ignored_by_name() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("weights.safetensors");
    for (architecture, classifier, norm) in [
        (Architecture::ResNet50, "fc", "layer4.2.bn3"),
        (Architecture::EfficientNetB0, "classifier.1", "features.8.1"),
        (Architecture::DenseNet121, "classifier", "features.norm5"),
        (Architecture::MobileNetV2, "classifier.1", "features.18.1"),
    ] {
        let (published, mine) =
            (network(architecture), Network::new(architecture, 0.0, Precision::Fp32, Device::Cpu));
        let mut tensors = published.named_tensors();
        tensors.retain(|name, _| !Network::is_head(name));
        let options = (Kind::Float, Device::Cpu);
        tensors
            .insert(format!("{classifier}.weight"), Tensor::zeros([1000, architecture.features()], options));
        tensors.insert(format!("{classifier}.bias"), Tensor::zeros([1000], options));
        let counter = Tensor::from_slice(&[7i64]).squeeze();
        tensors.insert(format!("{norm}.num_batches_tracked"), counter);
        Tensor::write_safetensors(&tensors.iter().collect::<Vec<_>>(), &file).unwrap();
        let loaded = mine.load_backbone(&file).unwrap();
        let ignored = format!("ignored: {classifier}.bias, {classifier}.weight");
        assert!(loaded.ends_with(&ignored), "{loaded}");
        let (expected, found) = (published.named_tensors(), mine.named_tensors());
        let name = format!("{norm}.running_var");
        assert!(expected[&name].equal(&found[&name]), "{}", architecture.name());
    }
}

/// Tensors and parameters in torchvision's state dictionaries, without classifiers and counters.
#[test]
fn names_shapes_and_parameter_counts_are_torchvisions() {
    use Architecture::{DenseNet121, EfficientNetB0, MobileNetV2, ResNet50};
    let shapes: [(Architecture, &str, &[i64]); 17] = [
        (MobileNetV2, "features.0.0.weight", &[32, 3, 3, 3]),
        (MobileNetV2, "features.1.conv.1.weight", &[16, 32, 1, 1]),
        (MobileNetV2, "features.2.conv.1.0.weight", &[96, 1, 3, 3]),
        (MobileNetV2, "features.18.1.running_var", &[1280]),
        (DenseNet121, "features.conv0.weight", &[64, 3, 7, 7]),
        (DenseNet121, "features.denseblock3.denselayer24.conv1.weight", &[128, 992, 1, 1]),
        (DenseNet121, "features.transition2.conv.weight", &[256, 512, 1, 1]),
        (DenseNet121, "features.norm5.bias", &[1024]),
        (ResNet50, "conv1.weight", &[64, 3, 7, 7]),
        (ResNet50, "layer1.0.downsample.0.weight", &[256, 64, 1, 1]),
        (ResNet50, "layer3.5.conv2.weight", &[256, 256, 3, 3]),
        (ResNet50, "layer4.0.downsample.1.running_mean", &[2048]),
        (EfficientNetB0, "features.1.0.block.0.0.weight", &[32, 1, 3, 3]),
        (EfficientNetB0, "features.1.0.block.1.fc1.weight", &[8, 32, 1, 1]),
        (EfficientNetB0, "features.3.1.block.1.0.weight", &[240, 1, 5, 5]),
        (EfficientNetB0, "features.6.3.block.2.fc2.bias", &[1152]),
        (EfficientNetB0, "features.7.0.block.3.1.weight", &[320]),
    ];
    for (architecture, n_tensors, n_parameters) in [
        (MobileNetV2, 260, 2_223_872),
        (DenseNet121, 604, 6_953_856),
        (ResNet50, 265, 23_508_032),
        (EfficientNetB0, 309, 4_007_548),
    ] {
        let mut tensors = Network::new(architecture, 0.0, Precision::Fp32, Device::Cpu).named_tensors();
        tensors.retain(|name, _| !Network::is_head(name));
        assert_eq!(tensors.len(), n_tensors, "{}", architecture.name());
        let parameters = tensors.iter().filter(|(name, _)| !name.contains(".running_"));
        let counted: usize = parameters.map(|(_, tensor)| tensor.numel()).sum();
        assert_eq!(counted, n_parameters, "{}", architecture.name());
        for (_, name, shape) in shapes.iter().filter(|(of, ..)| *of == architecture) {
            assert_eq!(tensors.get(*name).map(Tensor::size), Some(shape.to_vec()), "{name}");
        }
    }
}

/// Skipped if the reference libraries have no onnx package.
#[test]
fn the_onnx_checker_accepts_every_graph() {
    const SCRIPT: &str = "
import sys
try:
    import onnx
except ImportError:
    sys.exit(77)
for file in sys.argv[1:]:
    onnx.checker.check_model(file, full_check=True)
";
    let Some(python) = std::env::var_os("CXR_REFERENCE_PYTHON") else {
        eprintln!("skipped: CXR_REFERENCE_PYTHON is not set");
        return;
    };
    let folder = tempfile::TempDir::new().unwrap();
    let files = Architecture::ALL.map(|architecture| {
        let file = folder.path().join(format!("{}.onnx", architecture.name()));
        let graph = onnx::encode(architecture, &network(architecture).named_tensors(), (SIDE, SIDE)).unwrap();
        write_atomically(&file, &graph).unwrap();
        file
    });
    let output = std::process::Command::new(python).args(["-c", SCRIPT]).args(&files).output().unwrap();
    if output.status.code() == Some(77) {
        eprintln!("skipped: the reference libraries have no onnx");
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn published_weights_load_into_the_variant_they_belong_to() {
    let Some(file) = system_tests::real_data("weights/mobilenetv2-imagenet.safetensors") else { return };
    network(Architecture::MobileNetV2Expanded).load_backbone(&file).unwrap();
    let error = format!("{:#}", network(Architecture::MobileNetV2).load_backbone(&file).unwrap_err());
    assert!(
        error.contains("features.1.conv.0.0.weight: has shape [32, 32, 1, 1], expected [32, 1, 3, 3]"),
        "{error}"
    );
}

#[test]
fn every_parameter_belongs_to_a_stage_and_frozen_stages_do_not_learn() {
    for architecture in Architecture::ALL {
        let network = network(architecture);
        let learning = |network: &Network| {
            network.named_tensors().values().filter(|tensor| tensor.requires_grad()).count()
        };
        let all = learning(&network);
        network.freeze(Some(2)).unwrap();
        let some = learning(&network);
        network.freeze(None).unwrap();
        assert_eq!(learning(&network), 2, "{}: the classifier alone learns", architecture.name());
        let images = Tensor::rand([2, 1, 64, 64], (Kind::Float, Device::Cpu)) * 255.0;
        let statistics = |network: &Network| {
            let tensors = network.named_tensors();
            let running = tensors.iter().filter(|(name, _)| name.contains(".running_"));
            running.map(|(_, t)| t.double_value(&[0])).sum::<f64>()
        };
        let before = statistics(&network);
        let _ = network.logits(&images, true);
        assert!((statistics(&network) - before).abs() < 1e-12, "frozen statistics stay");
        network.freeze(Some(0)).unwrap();
        assert!(some < all && learning(&network) == all, "{}", architecture.name());
        let error = network.freeze(Some(99)).unwrap_err().to_string();
        assert!(error.contains("freeze_depth"), "{error}");
    }
}
