//! Sessions that return intermediate values of a graph by name, for measuring activations.

use crate::error::RuntimeError;
use crate::library::Runtime;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::TensorRef;

/// A session whose outputs are returned by name.
#[derive(Debug)]
pub struct ActivationSession {
    inner: ort::session::Session,
    input: String,
    outputs: Vec<String>,
}

impl Runtime {
    /// Creates a CPU session from the bytes of a graph with one uint8 image input and float32 outputs.
    pub fn activations(&self, onnx: &[u8], intra_threads: usize) -> Result<ActivationSession, RuntimeError> {
        let failed = RuntimeError::session::<ort::Error<SessionBuilder>>;
        let inner = ort::session::Session::builder(&self.environment)
            .map_err(RuntimeError::session("creating session options"))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(failed("setting the optimisation level"))?
            .with_intra_threads(intra_threads)
            .map_err(failed("setting the threads of an operator"))?
            .with_intra_op_spinning(false)
            .map_err(failed("setting whether threads spin"))?
            .commit_from_memory(onnx)
            .map_err(RuntimeError::session("loading the graph"))?;
        let [input] = inner.inputs() else {
            return Err(RuntimeError::Contract { what: format!("{} inputs, not one", inner.inputs().len()) });
        };
        let input = input.name().to_owned();
        let outputs = inner.outputs().iter().map(|output| output.name().to_owned()).collect();
        Ok(ActivationSession { inner, input, outputs })
    }
}

impl ActivationSession {
    /// Runs `batch` grey images of `size` columns and rows, one byte per pixel, and passes the name, shape
    /// and values of every output on.
    pub fn run(
        &mut self,
        pixels: &[u8],
        batch: usize,
        (width, height): (u32, u32),
        mut see: impl FnMut(&str, &[i64], &[f32]),
    ) -> Result<(), RuntimeError> {
        let failed = |error: ort::Error| RuntimeError::Run(Box::new(error));
        let (width, height) = (width as usize, height as usize);
        let expected = batch * width * height;
        if pixels.len() != expected || batch == 0 {
            return Err(RuntimeError::Input { batch, found: pixels.len(), expected });
        }
        let image = TensorRef::from_array_view(([batch, 1, height, width], pixels)).map_err(failed)?;
        let found = self.inner.run(ort::inputs![self.input.as_str() => image]).map_err(failed)?;
        for name in &self.outputs {
            let (shape, values) = found[name.as_str()].try_extract_tensor::<f32>().map_err(failed)?;
            see(name, shape, values);
        }
        Ok(())
    }
}
