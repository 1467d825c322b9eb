//! Checks the graph without running it: format, operator set, inputs and outputs.

use crate::onnx::proto::{Dimension, ModelProto, ValueInfoProto, code};
use anyhow::{Context, Result, ensure};
use cxr::bundle::{Bundle, TensorSpec, Variant};
use prost::Message;

const MIN_OPSET: i64 = 17;

pub(super) fn check(bundle: &Bundle, variant: &Variant) -> Result<String> {
    let file = &variant.file;
    let bytes = bundle.file(file).with_context(|| format!("{file}: not in the bundle"))?;
    let model = ModelProto::decode(bytes).with_context(|| format!("{file}: not an ONNX file"))?;
    let operators = model.opset_import.iter().find(|set| set.domain.is_empty());
    let operators =
        operators.with_context(|| format!("{file}: states no version of the ONNX operator set"))?.version;
    ensure!(operators >= MIN_OPSET, "{file}: uses operator set {operators}, expected {MIN_OPSET} or later");
    let graph = model.graph.with_context(|| format!("{file}: has no graph"))?;
    let contract = &bundle.manifest().model;
    compare(file, "input", &graph.input, std::slice::from_ref(&contract.input))?;
    compare(file, "output", &graph.output, &contract.outputs)?;
    Ok(format!(
        "{file}: IR {}, operator set {operators}, {} nodes, inputs and outputs as stated",
        model.ir_version,
        graph.node.len()
    ))
}

fn compare(file: &str, kind: &str, found: &[ValueInfoProto], expected: &[TensorSpec]) -> Result<()> {
    ensure!(
        found.len() == expected.len(),
        "{file}: {} {kind}s, the manifest states {}",
        found.len(),
        expected.len()
    );
    for spec in expected {
        let value = found.iter().find(|value| value.name == spec.name);
        let value = value.with_context(|| format!("{file}: no {kind} {:?}", spec.name))?;
        let found = tensor_spec(value);
        ensure!(
            found.as_ref() == Some(spec),
            "{file}: the {kind} {:?} is {found:?}, the manifest states {spec:?}",
            spec.name
        );
    }
    Ok(())
}

/// The tensor as a manifest states it; none for element types that no bundle uses.
fn tensor_spec(value: &ValueInfoProto) -> Option<TensorSpec> {
    let tensor = value.r#type.as_ref()?.tensor_type.as_ref()?;
    let dtype = match tensor.elem_type {
        code::FLOAT => "float32",
        code::UINT8 => "uint8",
        _ => return None,
    };
    let shape = tensor.shape.as_ref()?.dim.iter().map(|dimension| match dimension.value {
        Some(Dimension::Fixed(length)) => u32::try_from(length).ok(),
        _ => None,
    });
    Some(TensorSpec { name: value.name.clone(), dtype: dtype.to_owned(), shape: shape.collect() })
}
