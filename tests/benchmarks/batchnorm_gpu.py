"""What do the batch-norm copies cost on a real GPU, beside a real ResNet-50?

The second part of ``batchnorm.py``, or by hand: ``python tests/benchmarks/
batchnorm_gpu.py``. Blocks of 50 steps with a logged step in their middle and blocks
without, in turn; bfloat16 autocast, channels_last, batch 256.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable

import torch
from resnet50 import ResNet50
from torch import nn
from torch.profiler import ProfilerActivity, profile

from paperstart._bn_pipeline import Pipeline

BLOCK = 50
PAIRS = 12


class Training:
    """The network, its data, and the monitor's part of a step."""

    def __init__(self, batch_size: int = 256) -> None:
        torch.manual_seed(0)
        layout = {"memory_format": torch.channels_last}
        self.network = ResNet50().cuda().to(**layout)
        self.images = torch.randn(batch_size, 3, 224, 224, device="cuda").to(**layout)
        self.labels = torch.randint(0, 1000, (batch_size,), device="cuda")
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.01, momentum=0.9)
        self.pipeline = Pipeline()
        self.pipeline.find_layers(self.network)
        self.steps = 0

    def step(self) -> None:
        """One training step."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            logits = self.network(self.images)
            loss = nn.functional.cross_entropy(logits, self.labels)
        loss.backward()
        self.optimizer.step()
        self.steps += 1

    def logged_step(self) -> None:
        """One training step that the monitor logs, as its hooks do it."""
        self.strictly(lambda: self.pipeline.before(self.network))
        self.step()
        self.strictly(lambda: self.pipeline.after(self.steps))

    def strictly(self, call: Callable[[], object]) -> None:
        """Call it; an error if it makes the host wait for the GPU."""
        torch.cuda.set_sync_debug_mode("error")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def block_ms(self, *, is_logged: bool) -> float:
        """Milliseconds per step of one block."""
        torch.cuda.synchronize()
        start = time.perf_counter()
        for i in range(BLOCK):
            if is_logged and i == BLOCK // 2:
                self.logged_step()
            else:
                self.step()
            self.pipeline.take()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1000 / BLOCK

    def launches(self) -> Counter[str]:
        """What the monitor's part of one logged step asks of the driver."""
        calls: Counter[str] = Counter()
        for part in ("before", "after"):
            torch.cuda.synchronize()
            with profile(
                activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]
            ) as seen:
                if part == "before":
                    self.pipeline.before(self.network)
                else:
                    self.pipeline.after(self.steps)
            calls.update(event.name for event in seen.events() or [])
            if part == "before":
                self.step()
        return calls


def warm_training() -> Training:
    """After 20 steps, at batch 256 or what the GPU has room for."""
    for batch_size in (256, 128, 64):
        try:
            training = Training(batch_size)
            for _ in range(20):
                training.step()
            return training
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
    raise SystemExit("The GPU has no room for ResNet-50 at batch 64.")


def gpu_table() -> list[str]:
    """The table of the second part, or that there is no GPU."""
    if not torch.cuda.is_available():
        return ["GPU: none at hand, so nothing was measured on one."]
    training = warm_training()
    training.logged_step()  # makes the buffers, once
    training.pipeline.take(wait=True)
    without, having = [], []
    for i in range(PAIRS):
        for is_logged in (i % 2 == 0, i % 2 == 1):
            ms = training.block_ms(is_logged=is_logged)
            (having if is_logged else without).append(ms)
    calls = training.launches()
    logged = training.pipeline.take(wait=True)
    training.pipeline.close()
    layers = len(training.pipeline.layers)
    launched = sum(calls[name] for name in ("cudaLaunchKernel", "cudaLaunchKernelExC"))
    copied = calls["cudaMemcpyAsync"]
    # The worker's own wait, cudaEventSynchronize, is not the training thread's.
    waits = calls["cudaStreamSynchronize"] + calls["cudaMemcpy"]
    ratio = statistics.median(having) / statistics.median(without)
    paired = statistics.median(a / b for a, b in zip(having, without, strict=True))
    most = math.ceil(6 * layers / 128) + 4
    device = torch.cuda.get_device_name()
    return [
        f"GPU: {device}, torch {torch.__version__}, CUDA {torch.version.cuda}",
        f"{PAIRS} blocks of {BLOCK} steps each, in turn, medians; {len(logged)} steps "
        f"logged at last, {training.pipeline.dropped} dropped",
        "",
        f"| ResNet-50, {layers} layers, bf16 autocast, channels_last, batch"
        f" {len(training.labels)} | |",
        "| --- | --- |",
        f"| step without | {statistics.median(without):.2f} ms |",
        f"| step with, every {BLOCK} steps | {statistics.median(having):.2f} ms |",
        f"| ratio of the medians; median of the ratios | {ratio:.4f}; {paired:.4f} |",
        f"| kernels and copies of a logged step (at most {most}) |"
        f" {launched} + {copied} |",
        f"| waits of the host, by the profiler | {waits} |",
        "| waits of the host, by sync_debug_mode('error') |"
        f" none in {PAIRS + 1} logged steps |",
    ]


if __name__ == "__main__":
    print("\n".join(gpu_table()))
