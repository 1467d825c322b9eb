//! Which provider executes which part of the graph, as ONNX Runtime recorded it while partitioning.
//!
//! Nothing else proves it: `is_available` is true without a GPU, and registration falls back silently.

use crate::error::RuntimeError;
use ort::AsPointer;
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::CStr;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderProof {
    /// Requested provider, by ONNX Runtime's name.
    pub provider: String,
    /// Number of nodes by executing provider.
    pub assigned_nodes: BTreeMap<String, usize>,
}

/// Session option that makes ONNX Runtime keep the record.
pub(crate) const RECORD_ASSIGNMENT: &str = "session.record_ep_graph_assignment_info";

impl ProviderProof {
    /// Fails unless the provider executes most nodes; beside a GPU, shape nodes may run on the CPU.
    pub(crate) fn of(session: &ort::session::Session, provider: &'static str) -> Result<Self, RuntimeError> {
        let assigned_nodes = assignment(session);
        let assigned_nodes = assigned_nodes.map_err(RuntimeError::session("reading the node assignment"))?;
        let total: usize = assigned_nodes.values().sum();
        let own = assigned_nodes.get(provider).copied().unwrap_or(0);
        if own * 2 <= total {
            let found = format!("nodes by provider {assigned_nodes:?}");
            return Err(RuntimeError::Provider { provider, found });
        }
        Ok(Self { provider: provider.to_owned(), assigned_nodes })
    }
}

fn assignment(session: &ort::session::Session) -> Result<BTreeMap<String, usize>, ort::Error> {
    let api = ort::api();
    let mut nodes_by_provider = BTreeMap::new();
    let inner = session.inner();
    // SAFETY: the session outlives the pointers; ONNX Runtime owns the arrays and gives their lengths.
    unsafe {
        let (mut subgraphs, mut n_subgraphs) = (std::ptr::null(), 0);
        let status =
            (api.Session_GetEpGraphAssignmentInfo)(inner.ptr(), &raw mut subgraphs, &raw mut n_subgraphs);
        ort::Error::result_from_status(status)?;
        for index in 0..n_subgraphs {
            let subgraph = *subgraphs.add(index);
            let mut name = std::ptr::null();
            ort::Error::result_from_status((api.EpAssignedSubgraph_GetEpName)(subgraph, &raw mut name))?;
            let (mut nodes, mut n_nodes) = (std::ptr::null(), 0);
            let status = (api.EpAssignedSubgraph_GetNodes)(subgraph, &raw mut nodes, &raw mut n_nodes);
            ort::Error::result_from_status(status)?;
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            *nodes_by_provider.entry(name).or_default() += n_nodes;
        }
    }
    Ok(nodes_by_provider)
}
