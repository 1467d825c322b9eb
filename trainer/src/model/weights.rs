//! Named tensors and their safetensors files. Loading is strict: tch's own `VarStore::load` broadcasts a wrong shape
//! and adopts a file's precision without a word.

use super::Network;
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Tensors by name, in the order of their names.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// The key of a file's metadata under which [`encode`] puts its text.
const NOTE: &str = "cxr";

impl Network {
    /// Parameters and buffers; they share storage with the network.
    pub fn named_tensors(&self) -> NamedTensors {
        self.parameters().variables().into_iter().collect()
    }

    /// Loads a backbone from a published file. The classifier stays as it is, and so may the file's own be anything.
    ///
    /// # Errors
    /// Lists every tensor that is missing, left over or of another shape.
    pub fn load_backbone(&self, file: &Path) -> Result<()> {
        let (mut source, _) = read(file)?;
        // torchvision's classifiers have other shapes, and its counters of batches mean nothing here.
        let is_head = |name: &str| name.starts_with("classifier.") || name.starts_with("fc.");
        source.retain(|name, _| !is_head(name) && !name.ends_with(".num_batches_tracked"));
        let mut target = self.named_tensors();
        target.retain(|name, _| !name.starts_with("classifier."));
        copy(&source, &target).with_context(|| format!("{}: does not fit this architecture", file.display()))
    }
}

/// Copies every tensor of `source` into its namesake.
///
/// # Errors
/// Lists what is missing, left over or of another shape; nothing is copied then.
pub fn copy(source: &NamedTensors, target: &NamedTensors) -> Result<()> {
    let mut problems = Vec::new();
    for (name, tensor) in target {
        match source.get(name) {
            None => problems.push(format!("  {name}: missing, expected {:?}", tensor.size())),
            Some(found) if found.size() != tensor.size() => {
                problems.push(format!(
                    "  {name}: has shape {:?}, expected {:?}",
                    found.size(),
                    tensor.size()
                ));
            }
            Some(_) => {}
        }
    }
    let left_over = source.keys().filter(|name| !target.contains_key(*name));
    problems.extend(left_over.map(|name| format!("  {name}: not a tensor of this network")));
    if !problems.is_empty() {
        bail!("{} tensors do not match:\n{}", problems.len(), problems.join("\n"));
    }
    tch::no_grad(|| target.iter().for_each(|(name, tensor)| tensor.shallow_clone().copy_(&source[name])));
    Ok(())
}

/// A safetensors file of float32 tensors with a text in its metadata.
///
/// # Errors
/// When a tensor is not float32.
pub fn encode(tensors: &NamedTensors, note: String) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        ensure!(tensor.kind() == Kind::Float, "{name}: is {:?}, expected float32", tensor.kind());
        let values: Vec<f32> = Vec::try_from(tensor.detach().to_device(Device::Cpu).flatten(0, -1))?;
        let shape = tensor.size().iter().map(|side| *side as usize).collect();
        bytes.push((name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()));
    }
    let views = bytes
        .iter()
        .map(|(name, shape, data): &(_, Vec<usize>, _)| {
            Ok((*name, TensorView::new(Dtype::F32, shape.clone(), data)?))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize(views, Some(HashMap::from([(NOTE.to_owned(), note)])))?)
}

/// Reads a safetensors file of float32 tensors and the text that [`encode`] put there, if any.
///
/// # Errors
/// Names the file and the tensor.
pub fn read(file: &Path) -> Result<(NamedTensors, Option<String>)> {
    let bytes = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    decode(&bytes).with_context(|| format!("{}: cannot be used", file.display()))
}

fn decode(bytes: &[u8]) -> Result<(NamedTensors, Option<String>)> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let note = header.metadata().as_ref().and_then(|metadata| metadata.get(NOTE).cloned());
    let mut tensors = NamedTensors::new();
    for (name, view) in SafeTensors::deserialize(bytes)?.iter() {
        ensure!(view.dtype() == Dtype::F32, "{name}: is {:?}, expected F32", view.dtype());
        let shape: Vec<i64> = view.shape().iter().map(|side| *side as i64).collect();
        tensors.insert(name.to_owned(), Tensor::from_data_size(view.data(), &shape, Kind::Float));
    }
    Ok((tensors, note))
}
