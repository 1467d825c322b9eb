"""PyTorch's side of `cxr-loadtest device`: the same network, the same batches, on the same device.

python3 torch_infer.py --architecture mobilenetv2-expanded --device cuda:0 --batches 1,8,32,128 --seconds 2
    --json torch.json

A run copies uint8 [N,1,H,W] from memory (on a GPU: pinned) to the device, normalises there, and copies the
logits back. The weights are random, which does not affect the speed. Modes: fp32 (with PyTorch's default TF32),
bf16 autocast, and on a GPU both also as CUDA graphs. Needs torch and torchvision.
"""
import argparse
import json
import platform
import time

import torch
from torch import nn
from torchvision import models

SIDE, TURNS, WARM_UP = 224, 5, 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def conv_bn_relu6(i, o, kernel, stride, groups):
    return nn.Sequential(
        nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o), nn.ReLU6()
    )


class Bottleneck(nn.Module):
    """Inverted residual (Sandler et al. 2018). Unlike torchvision's, the first block has an expansion too."""

    def __init__(self, i, o, stride, expand):
        super().__init__()
        h = i * expand
        self.conv = nn.Sequential(
            conv_bn_relu6(i, h, 1, 1, 1), conv_bn_relu6(h, h, 3, stride, h), nn.Conv2d(h, o, 1, bias=False), nn.BatchNorm2d(o)
        )
        self.skip = stride == 1 and i == o

    def forward(self, x):
        return x + self.conv(x) if self.skip else self.conv(x)


class MobileNetV2Expanded(nn.Module):
    def __init__(self):
        super().__init__()
        layers, i = [conv_bn_relu6(3, 32, 3, 2, 1)], 32
        for t, c, n, s in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
            for k in range(n):
                layers.append(Bottleneck(i, c, s if k == 0 else 1, t))
                i = c
        layers.append(conv_bn_relu6(i, 1280, 1, 1, 1))
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(1280, 1)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


NETWORKS = {
    "mobilenetv2-expanded": MobileNetV2Expanded,
    "mobilenetv2": lambda: models.mobilenet_v2(weights=None, num_classes=1),
    "densenet121": lambda: models.densenet121(weights=None, num_classes=1),
    "resnet50": lambda: models.resnet50(weights=None, num_classes=1),
    "efficientnet-b0": lambda: models.efficientnet_b0(weights=None, num_classes=1),
}


class FromBytes(nn.Module):
    """The network behind the normalisation of grey bytes."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255)

    def forward(self, grey):
        x = (grey.float() - self.mean) / self.std
        return self.network(x.contiguous(memory_format=torch.channels_last)).float()


class Runner:
    """One mode with one batch size; `run` ends when the logits are on the host."""

    def __init__(self, model, device, batch, bf16, graph):
        self.model, self.device, self.bf16, self.graph = model, device, bf16, None
        on_gpu = device.type == "cuda"
        self.host = torch.randint(0, 256, (batch, 1, SIDE, SIDE), dtype=torch.uint8)
        if on_gpu:
            self.host = self.host.pin_memory()
        if graph:
            self.input = torch.zeros_like(self.host, device=device)
            # The capture wants its warm-up on another stream than the default one.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self.forward(self.input)
            torch.cuda.current_stream().wait_stream(stream)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.output = self.forward(self.input)

    def forward(self, grey):
        # The cache of casted weights must not outlive what a graph has captured.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            return self.model(grey)

    def run(self):
        if self.graph is None:
            logits = self.forward(self.host.to(self.device, non_blocking=True)).cpu()
        else:
            self.input.copy_(self.host, non_blocking=True)
            self.graph.replay()
            logits = self.output.cpu()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return logits


def turn(runner, seconds):
    times, started = [], time.perf_counter()
    while time.perf_counter() - started < seconds or len(times) < 2:
        begun = time.perf_counter()
        runner.run()
        times.append((time.perf_counter() - begun) * 1e3)
    return times


def cell(way, batch, times):
    ordered = sorted(times)
    # The quantile of cxr: linear between the neighbours.
    quantile = lambda q: float(torch.quantile(torch.tensor(ordered, dtype=torch.float64), q))
    return {
        "way": way, "batch": batch, "runs": len(times), "images_per_second": len(times) * batch / sum(times) * 1e3,
        "p50_ms": quantile(0.5), "p99_ms": quantile(0.99),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--device", default="cuda:0", help="cpu, cuda or cuda:N")
    parser.add_argument("--batches", default="1,8,32,128")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds per batch size and mode")
    parser.add_argument("--json", required=True)
    a = parser.parse_args()
    device = torch.device(a.device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    model = FromBytes(NETWORKS[a.architecture]()).eval().to(device).to(memory_format=torch.channels_last)
    ways = {"fp32": (False, False), "bf16": (True, False)}
    if on_gpu:
        ways |= {"fp32 graph": (False, True), "bf16 graph": (True, True)}
    cells = []
    with torch.inference_mode():
        for batch in map(int, a.batches.split(",")):
            runners = {way: Runner(model, device, batch, *how) for way, how in ways.items()}
            times = {way: [] for way in runners}
            for runner in runners.values():
                for _ in range(WARM_UP):
                    assert runner.run().shape == (batch, 1)
            for _ in range(TURNS):
                for way, runner in runners.items():
                    times[way] += turn(runner, a.seconds / TURNS)
            for way in ways:
                found = cell(way, batch, times[way])
                cells.append(found)
                print(f"{way:<10} batch {batch:>3}: {found['images_per_second']:.1f} images/s, "
                      f"p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms", flush=True)
    name = torch.cuda.get_device_name(device) if on_gpu else platform.processor() or "cpu"
    result = {
        "architecture": a.architecture, "torch": torch.__version__, "device": name, "threads": torch.get_num_threads(),
        "tf32": {"convolutions": torch.backends.cudnn.allow_tf32, "matrices": torch.backends.cuda.matmul.allow_tf32},
        "cells": cells,
    }
    with open(a.json, "w") as file:
        json.dump(result, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
