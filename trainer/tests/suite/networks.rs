//! The networks: their graphs say what they say, their maps are Grad-CAM, and weights that do not fit are refused.

use crate::support::{SIDE, onnxruntime};
use cxr::phantom::{PhantomSpec, generate};
use cxr_trainer::export::{onnx, parity};
use cxr_trainer::files::write_atomically;
use cxr_trainer::model::{Architecture, Network, Precision, weights};
use runtime::{Runtime, SessionOptions};
use tch::{Device, Kind, Tensor};

const ALL: [Architecture; 5] = Architecture::ALL;

/// A network whose normalisations do something: fresh ones are the identity, and folding them would prove nothing.
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

fn parity_of(architecture: Architecture, size: (u32, u32)) -> parity::Parity {
    let network = network(architecture);
    let graph = onnx::encode(architecture, &network.named_tensors(), size).unwrap();
    let runtime = Runtime::load(&onnxruntime()).unwrap();
    let contract = onnx::contract(architecture, size);
    let mut session = runtime.session(&graph, &contract, &SessionOptions::default()).unwrap();
    parity::compare(&network, &mut session, &phantoms(3, size), size).unwrap()
}

#[test]
fn onnx_runtime_reproduces_every_architecture() {
    for architecture in ALL {
        // The second size is no multiple of 32 and not square.
        for size in [(SIDE, SIDE), (100, 72)] {
            let parity = parity_of(architecture, size);
            parity.check().unwrap_or_else(|error| panic!("{} {size:?}: {error}", architecture.name()));
        }
    }
}

#[test]
fn a_graph_of_other_weights_fails_parity() {
    let size = (SIDE, SIDE);
    let network = network(Architecture::MobileNetV2);
    let mut parameters = network.named_tensors();
    let bias = parameters["features.18.1.bias"].detach() + 0.01;
    parameters.insert("features.18.1.bias".to_owned(), bias);
    let graph = onnx::encode(Architecture::MobileNetV2, &parameters, size).unwrap();
    let runtime = Runtime::load(&onnxruntime()).unwrap();
    let contract = onnx::contract(Architecture::MobileNetV2, size);
    let mut session = runtime.session(&graph, &contract, &SessionOptions::default()).unwrap();
    let parity = parity::compare(&network, &mut session, &phantoms(2, size), size).unwrap();
    assert!(parity.check().unwrap_err().to_string().contains("does not reproduce"), "{parity}");
}

#[test]
fn the_map_averages_to_the_logit() {
    for architecture in ALL {
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
    for expected in [
        "3 tensors do not match",
        "features.3.conv.1.0.weight: missing",
        "features.18.1.bias: has shape [7], expected [1280]",
        "features.99.weight: not a tensor of this network",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    assert!(before.equal(&network.named_tensors()["features.0.0.weight"]), "nothing is copied on error");

    let halves = std::collections::BTreeMap::from([("x", Tensor::zeros([2], (Kind::Half, Device::Cpu)))]);
    Tensor::write_safetensors(&halves.iter().collect::<Vec<_>>(), &file).unwrap();
    let error = format!("{:#}", network.load_backbone(&file).unwrap_err());
    assert!(error.contains("x: is F16, expected F32"), "{error}");
}

#[test]
fn published_weights_load_into_the_variant_they_belong_to() {
    let data = std::env::var_os("CXR_DATA_DIR")
        .map_or_else(|| crate::support::repository().join("../shared/data"), Into::into);
    let file = data.join("weights/mobilenetv2-imagenet.safetensors");
    if !file.exists() {
        eprintln!("skipped: no real data ({} is missing)", file.display());
        return;
    }
    network(Architecture::MobileNetV2Expanded).load_backbone(&file).unwrap();
    let error = format!("{:#}", network(Architecture::MobileNetV2).load_backbone(&file).unwrap_err());
    assert!(
        error.contains("features.1.conv.0.0.weight: has shape [32, 32, 1, 1], expected [32, 1, 3, 3]"),
        "{error}"
    );
}

/// The sizes of torchvision's backbones: its models without their classifiers of 1000 classes.
#[test]
fn parameters_are_as_many_as_torchvisions() {
    for (architecture, expected) in [
        (Architecture::MobileNetV2, 2_223_872),
        (Architecture::DenseNet121, 6_953_856),
        (Architecture::ResNet50, 23_508_032),
        (Architecture::EfficientNetB0, 4_007_548),
    ] {
        let network = Network::new(architecture, 0.0, Precision::Fp32, Device::Cpu);
        let tensors = network.named_tensors();
        let parameters = tensors
            .iter()
            .filter(|(name, _)| !Network::is_head(name) && !name.contains(".running_"))
            .map(|(_, tensor)| tensor.numel())
            .sum::<usize>();
        assert_eq!(parameters, expected, "{}", architecture.name());
    }
}

#[test]
fn every_parameter_belongs_to_a_stage_and_frozen_stages_do_not_learn() {
    for architecture in ALL {
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
