//! Named tensors in safetensors files. Loading is strict, whereas tch's `VarStore::load` silently broadcasts
//! a wrong shape and adopts the file's precision.

use super::Network;
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tch::{Device, Kind, Tensor};

pub type NamedTensors = BTreeMap<String, Tensor>;

/// The metadata key for the text that [`encode`] takes.
const METADATA_KEY: &str = "cxr";

impl Network {
    /// Parameters and buffers, sharing storage with the network.
    pub fn named_tensors(&self) -> NamedTensors {
        self.parameters().variables().into_iter().collect()
    }

    /// Loads a published backbone under torchvision's names and reports what it ignored. On any mismatch
    /// nothing is loaded, and the error lists every one.
    pub fn load_backbone(&self, file: &Path) -> Result<String> {
        let mut source = Source::read(file)?;
        let is_head = |name: &str| name.starts_with("classifier.") || name.starts_with("fc.");
        let mut ignored = source.remove(|name| is_head(name) || name.ends_with(".num_batches_tracked"));
        ignored.retain(|name| is_head(name));
        let mut target = self.named_tensors();
        target.retain(|name, _| !Self::is_head(name));
        source
            .copy_into(&target)
            .with_context(|| format!("{}: does not fit {}", file.display(), self.architecture().name()))?;
        let ignored = if ignored.is_empty() { "nothing".to_owned() } else { ignored.join(", ") };
        Ok(format!("{}: {} tensors loaded, ignored: {ignored}", file.display(), target.len()))
    }
}

#[derive(Debug)]
struct Source {
    tensors: NamedTensors,
    other_types: BTreeMap<String, Dtype>,
    metadata: Option<String>,
}

impl Source {
    fn read(file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
        Self::decode(&bytes).with_context(|| format!("{}: not a safetensors file", file.display()))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().as_ref().and_then(|metadata| metadata.get(METADATA_KEY).cloned());
        let (mut tensors, mut other_types) = (NamedTensors::new(), BTreeMap::new());
        for (name, view) in SafeTensors::deserialize(bytes)?.iter() {
            if view.dtype() == Dtype::F32 {
                let shape: Vec<i64> = view.shape().iter().map(|side| *side as i64).collect();
                tensors.insert(name.to_owned(), Tensor::from_data_size(view.data(), &shape, Kind::Float));
            } else {
                other_types.insert(name.to_owned(), view.dtype());
            }
        }
        Ok(Self { tensors, other_types, metadata })
    }

    fn remove(&mut self, is_removed: impl Fn(&str) -> bool) -> Vec<String> {
        let names = self.tensors.keys().chain(self.other_types.keys());
        let removed: Vec<String> = names.filter(|name| is_removed(name)).cloned().collect();
        self.tensors.retain(|name, _| !is_removed(name));
        self.other_types.retain(|name, _| !is_removed(name));
        removed
    }

    fn copy_into(&self, target: &NamedTensors) -> Result<()> {
        let wrong_type = |(name, dtype): (&String, &Dtype)| format!("  {name}: is {dtype:?}, expected F32");
        let mut mismatches: Vec<String> = self.other_types.iter().map(wrong_type).collect();
        for (name, tensor) in target {
            let expected = tensor.size();
            match self.tensors.get(name).map(Tensor::size) {
                Some(found) if found == expected => {}
                Some(found) => {
                    mismatches.push(format!("  {name}: has shape {found:?}, expected {expected:?}"));
                }
                None if self.other_types.contains_key(name) => {}
                None => mismatches.push(format!("  {name}: missing, expected {expected:?}")),
            }
        }
        let left_over = self.tensors.keys().filter(|name| !target.contains_key(*name));
        mismatches.extend(left_over.map(|name| format!("  {name}: not a tensor of this network")));
        if !mismatches.is_empty() {
            bail!("{} tensors do not match:\n{}", mismatches.len(), mismatches.join("\n"));
        }
        let copy = |(name, tensor): (&String, &Tensor)| tensor.shallow_clone().copy_(&self.tensors[name]);
        tch::no_grad(|| target.iter().for_each(copy));
        Ok(())
    }
}

/// Copies every tensor of `source` to its namesake in `target`; nothing on any mismatch.
pub fn copy(source: &NamedTensors, target: &NamedTensors) -> Result<()> {
    let tensors = source.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    Source { tensors, other_types: BTreeMap::new(), metadata: None }.copy_into(target)
}

/// A safetensors file of float32 tensors with a text in its metadata.
pub fn encode(tensors: &NamedTensors, metadata: String) -> Result<Vec<u8>> {
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
    Ok(safetensors::serialize(views, Some(HashMap::from([(METADATA_KEY.to_owned(), metadata)])))?)
}

/// The float32 tensors of a file and the text of its metadata, if any.
pub fn read(file: &Path) -> Result<(NamedTensors, Option<String>)> {
    let Source { tensors, other_types, metadata } = Source::read(file)?;
    let other_types: Vec<String> =
        other_types.iter().map(|(name, dtype)| format!("{name} is {dtype:?}")).collect();
    ensure!(other_types.is_empty(), "{}: not float32: {}", file.display(), other_types.join(", "));
    Ok((tensors, metadata))
}
