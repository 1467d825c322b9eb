"""Writes the peer's twin of a bundle's graph: float input, only the logits as output, the same weights.

python twin.py BUNDLE/model.onnx TWIN.onnx

A bundle's graph takes grey bytes and normalises them itself; the peer normalises in NumPy. The twin starts after
that step and omits the nodes of the other outputs. Both graphs must give a random image the same logit within
1e-4, or nothing is written.
"""
import os, sys

# Must be set before the import of ONNX Runtime, which reports to its vendor otherwise.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
STD = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
TOLERANCE = 1e-4


def normalised_value(graph):
    """The normalised image: the output of the node that adds the shift."""
    makers = [n for n in graph.node if n.op_type == "Add" and "normalise.shift" in n.input]
    if len(makers) != 1:
        sys.exit(f"{len(makers)} nodes add normalise.shift, one is expected: was this graph written by cxr-trainer?")
    return makers[0].output[0]


def needed(graph, start, end):
    """The nodes between two values, in the graph's order."""
    wanted, kept = {end}, []
    for node in reversed(graph.node):
        if wanted & set(node.output) and start not in node.output:
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1], wanted


def cut(model, side):
    graph = model.graph
    start = normalised_value(graph)
    nodes, used = needed(graph, start, "logits")
    image = helper.make_tensor_value_info(start, TensorProto.FLOAT, ["N", 3, *side])
    logits = [output for output in graph.output if output.name == "logits"]
    weights = [w for w in graph.initializer if w.name in used]
    twin = helper.make_graph(nodes, "twin", [image], logits, weights)
    return helper.make_model(twin, ir_version=model.ir_version, opset_imports=model.opset_import)


def difference(ours, twin, side):
    """The difference between both graphs' logits of one random image."""
    grey = np.random.default_rng(0).integers(0, 256, (1, 1, *side), np.uint8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    run = lambda model, x: ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
        ["logits"], {model.graph.input[0].name: x})[0].item()
    return abs(run(ours, grey) - run(twin, ((grey[0] / np.float32(255) - MEAN) / STD)[None].astype(np.float32)))


def main():
    source, target = sys.argv[1:]
    model = onnx.load(source)
    side = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][2:]
    twin = cut(model, side)
    onnx.checker.check_model(twin, full_check=True)
    found = difference(model, twin, side)
    if not found < TOLERANCE:
        sys.exit(f"{source}: the twin's logit differs by {found}, {TOLERANCE} is allowed")
    onnx.save(twin, target + ".part")
    os.replace(target + ".part", target)
    print(f"{target}: logits differ by {found:.1e}")


if __name__ == "__main__":
    main()
