//! Input and outputs of a GPU session in pinned host memory, bound once per batch size.
//!
//! Pinned memory has the same address on host and GPU (unified addressing), so it is bound like device
//! memory: the first kernel reads the 50 KB of an image over the bus and the last ones write their results
//! back. No separate copy is needed, and the addresses never change, which a replayed CUDA graph requires.

use crate::error::RuntimeError;
use crate::session::{ModelOutputs, Sizes};
use ort::AsPointer;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions};
use ort::value::{Shape, TensorRefMut};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_void};

/// Run option that names the CUDA graph of a batch size.
const GRAPH_ID: &str = "gpu_graph_id";

/// Bound memory of every batch size that has run so far.
pub(crate) struct PinnedBatches {
    batches: BTreeMap<usize, PinnedBatch>,
    allocator: Allocator,
    device_id: i32,
    sizes: Sizes,
}

/// Memory of one batch size and the binding that points to it.
struct PinnedBatch {
    binding: IoBinding,
    options: RunOptions,
    image: PinnedTensor,
    logits: PinnedTensor,
    cam: PinnedTensor,
    embedding: PinnedTensor,
}

/// Pinned memory of one tensor; freed by [`PinnedBatches`], which owns the allocator.
struct PinnedTensor {
    start: *mut c_void,
    n_values: usize,
}

// SAFETY: the memory belongs to this value alone, and a session lives on one thread at a time.
unsafe impl Send for PinnedTensor {}

impl PinnedBatches {
    pub(crate) fn new(
        session: &ort::session::Session,
        device_id: i32,
        sizes: Sizes,
    ) -> Result<Self, ort::Error> {
        let pinned = memory(AllocationDevice::CUDA_PINNED, device_id, MemoryType::CPUOutput)?;
        let allocator = Allocator::new(session, pinned)?;
        Ok(Self { batches: BTreeMap::new(), allocator, device_id, sizes })
    }

    /// Runs the images, padded with black ones to `size`.
    pub(crate) fn run(
        &mut self,
        session: &mut ort::session::Session,
        images: &[&[u8]],
        size: usize,
    ) -> Result<ModelOutputs, RuntimeError> {
        let failed = |error| RuntimeError::Run(Box::new(error));
        if !self.batches.contains_key(&size) {
            let batch = self.bind(session, size).map_err(failed)?;
            self.batches.insert(size, batch);
        }
        let sizes = self.sizes;
        let batch = self.batches.get_mut(&size);
        let batch = batch.ok_or(RuntimeError::BatchTooLarge { batch: size, largest: 0 })?;
        let pixels = batch.image.as_mut_slice::<u8>();
        let (used, unused) = pixels.split_at_mut(images.len() * sizes.pixels());
        for (target, image) in used.chunks_exact_mut(sizes.pixels()).zip(images) {
            target.copy_from_slice(image);
        }
        unused.fill(0);
        // Returns when the GPU has finished: ONNX Runtime synchronises its stream at the end of a run.
        session.run_binding_with_options(&batch.binding, &batch.options).map_err(failed)?;
        Ok(ModelOutputs {
            logits: batch.logits.as_mut_slice::<f32>().to_vec(),
            cam: batch.cam.as_mut_slice::<f32>().to_vec(),
            cam_size: sizes.cam,
            embedding: batch.embedding.as_mut_slice::<f32>().to_vec(),
            embedding_length: sizes.embedding,
        })
    }

    fn bind(&self, session: &ort::session::Session, size: usize) -> Result<PinnedBatch, ort::Error> {
        let sizes = self.sizes;
        let mut batch = PinnedBatch {
            binding: session.create_binding()?,
            options: RunOptions::new()?,
            image: self.block::<u8>(size * sizes.pixels())?,
            logits: self.block::<f32>(size)?,
            cam: self.block::<f32>(size * sizes.map())?,
            embedding: self.block::<f32>(size * sizes.embedding)?,
        };
        batch.options.set(GRAPH_ID, size.to_string())?;
        let device = || memory(AllocationDevice::CUDA, self.device_id, MemoryType::Default);
        let n = size as i64;
        let (width, height) = sizes.input;
        let image_shape = Shape::new([n, 1, height as i64, width as i64]);
        let cam_shape = Shape::new([n, 1, i64::from(sizes.cam.1), i64::from(sizes.cam.0)]);
        let embedding_shape = Shape::new([n, sizes.embedding as i64]);
        let tensors = [
            (c"logits", &batch.logits, Shape::new([n, 1])),
            (c"cam", &batch.cam, cam_shape),
            (c"embedding", &batch.embedding, embedding_shape),
        ];
        // SAFETY: every block has the length of its shape, and lives as long as the binding.
        unsafe {
            let image = TensorRefMut::<u8>::from_raw(device()?, batch.image.start, image_shape)?;
            bind(&batch.binding, Direction::Input, c"image", image.ptr())?;
            for (name, block, shape) in tensors {
                let tensor = TensorRefMut::<f32>::from_raw(device()?, block.start, shape)?;
                bind(&batch.binding, Direction::Output, name, tensor.ptr())?;
            }
        }
        Ok(batch)
    }

    fn block<T>(&self, n_values: usize) -> Result<PinnedTensor, ort::Error> {
        let start = self.allocator.alloc::<T>(n_values)?.into_raw();
        Ok(PinnedTensor { start, n_values })
    }
}

impl std::fmt::Debug for PinnedBatches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinnedBatches").field("bound", &self.batches.keys()).finish_non_exhaustive()
    }
}

impl Drop for PinnedBatches {
    fn drop(&mut self) {
        for batch in std::mem::take(&mut self.batches).into_values() {
            let PinnedBatch { binding, image, logits, cam, embedding, .. } = batch;
            // The binding points into the blocks, so it is dropped first.
            drop(binding);
            for block in [image, logits, cam, embedding] {
                // SAFETY: allocated by this allocator in `block` and freed once, here.
                unsafe { self.allocator.free(block.start) };
            }
        }
    }
}

impl PinnedTensor {
    fn as_mut_slice<T>(&mut self) -> &mut [T] {
        // SAFETY: allocated for `n_values` of the type that the caller names (each block has one use); the
        // GPU is idle between runs, and `&mut` keeps a second slice away.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast::<T>(), self.n_values) }
    }
}

fn memory(device: AllocationDevice, id: i32, kind: MemoryType) -> Result<MemoryInfo, ort::Error> {
    MemoryInfo::new(device, id, AllocatorType::Device, kind)
}

#[derive(Clone, Copy)]
enum Direction {
    Input,
    Output,
}

/// Binds a tensor without a copy; `ort`'s own method would bind a copy of memory that it does not own.
///
/// # Safety
/// The tensor's memory must outlive the binding; the tensor itself need not.
unsafe fn bind(
    binding: &IoBinding,
    direction: Direction,
    name: &CStr,
    tensor: *const ort::sys::OrtValue,
) -> Result<(), ort::Error> {
    let api = ort::api();
    let function = match direction {
        Direction::Input => api.BindInput,
        Direction::Output => api.BindOutput,
    };
    // SAFETY: binding and tensor are live here, and the caller vouches for the memory.
    unsafe { ort::Error::result_from_status(function(binding.ptr().cast_mut(), name.as_ptr(), tensor)) }
}
