"""One engine of the slice as a process that waits for orders: `go` runs a step and answers with its seconds.

    slice_engines.py ENGINE WORK --threads N          (started by slice.py; speaks lines on its standard input and output)

Preparation (loading, compiling, calibrating) ends with the line `ready`. What is slow to make is kept under WORK.
"""
from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Callable

import torch

import slice_model

Step = Callable[[], torch.Tensor]


class Bench:
    """Where things lie."""

    def __init__(self, work: Path, threads: int) -> None:
        self.folder, self.dump, self.work, self.threads = work / "slice", work / "slice.safetensors", work, threads

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
        return slice_model.inputs(self.dump, dtype)[0]

    def model(self, dtype: torch.dtype) -> slice_model.Velocity:
        return slice_model.load(self.folder, dtype, slice_model.inputs(self.dump)[1].shape[1])


def torch_eager(bench: Bench, dtype: torch.dtype) -> Step:
    model, inputs = bench.model(dtype), bench.inputs(dtype)
    return lambda: model(*inputs)


def freeze(bench: Bench) -> None:
    """Inductor with constant weights: products get their prepacked form."""
    import torch._inductor.config as config

    config.freezing = True
    config.cpp.enable_kernel_profile = False
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(bench.work / "inductor"))


def torch_compiled(bench: Bench) -> Step:
    freeze(bench)
    model, inputs = bench.model(torch.bfloat16), bench.inputs(torch.bfloat16)
    compiled = torch.compile(model)
    return lambda: compiled(*inputs)


def torchao_int8(bench: Bench) -> Step:
    """Every linear in int8: weights per output channel, activations per token at run time."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    freeze(bench)
    model, inputs = bench.model(torch.bfloat16), bench.inputs(torch.bfloat16)
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    compiled = torch.compile(model)
    return lambda: compiled(*inputs)


def openvino_ir(bench: Bench) -> Path:
    """The slice as OpenVINO's own file, weights in f16, sequence lengths open."""
    import openvino as ov

    path = bench.work / "slice-ov.xml"
    if not path.exists():
        inputs = bench.inputs()
        model = ov.convert_model(bench.model(torch.float32), example_input=inputs)
        ov.save_model(model, path, compress_to_fp16=True)
    return path


def few_tokens(inputs: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """Every tenth token of the step's inputs: NNCF holds all activations at once, 16 GB for all tokens."""
    hidden, text, pooled, time_, image_ids, text_ids, guidance = inputs
    return [hidden[:, ::10], text[:, ::10], pooled, time_, image_ids[::10], text_ids[::10], guidance]


def openvino_int8_ir(bench: Bench, attention: bool) -> Path:
    """Calibrated by NNCF on the step's own inputs; with attention's products or linears alone. SmoothQuant and bias
    correction are left out: both copy all weights (more than 16 GB here), and neither makes a step faster."""
    import nncf
    import openvino as ov

    path = bench.work / f"slice-ov-int8{'' if attention else '-linears'}.xml"
    if not path.exists():
        names = [f"i{n}" for n in range(len(slice_model.INPUTS))]
        model = ov.Core().read_model(openvino_ir(bench))
        for port, name in zip(model.inputs, names, strict=True):
            port.get_tensor().set_names({name})
        sample = {name: value.contiguous().numpy() for name, value in zip(names, few_tokens(bench.inputs()), strict=True)}
        quantized = nncf.quantize(
            model,
            nncf.Dataset([sample]),
            subset_size=1,
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=None if attention else nncf.IgnoredScope(types=["ScaledDotProductAttention"]),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                disable_bias_correction=True,
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
            ),
        )
        ov.save_model(quantized, path, compress_to_fp16=True)
    return path


def openvino(bench: Bench, make: Callable[[], Path], precision: str = "bf16") -> Step:
    import openvino as ov

    path = make()
    core = ov.Core()
    model = core.read_model(path)
    inputs = [value.numpy() for value in bench.inputs()]
    model.reshape({port: list(value.shape) for port, value in zip(model.inputs, inputs, strict=True)})
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": bench.threads,
                "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": True}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: torch.from_numpy(request.infer(inputs)[0])


ENGINES: dict[str, Callable[[Bench], Step]] = {
    "PyTorch f32": lambda bench: torch_eager(bench, torch.float32),
    "PyTorch bf16": lambda bench: torch_eager(bench, torch.bfloat16),
    "PyTorch bf16 compiled": torch_compiled,
    "torchao int8 compiled": torchao_int8,
    "OpenVINO f32": lambda bench: openvino(bench, lambda: openvino_ir(bench), "f32"),
    "OpenVINO bf16": lambda bench: openvino(bench, lambda: openvino_ir(bench)),
    "OpenVINO int8": lambda bench: openvino(bench, lambda: openvino_int8_ir(bench, True)),
    "OpenVINO int8 linears": lambda bench: openvino(bench, lambda: openvino_int8_ir(bench, False)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("work", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    Path("/proc/self/oom_score_adj").write_text("900")  # when memory runs out, this process goes first
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the libraries print is no answer
    torch.set_num_threads(options.threads)
    with torch.no_grad():
        step = ENGINES[options.engine](Bench(options.work, options.threads))
        if "compiled" in options.engine:
            step()  # compiles
        answers.write("ready\n")
        for line in sys.stdin:
            start = time.perf_counter()
            velocity = step()
            answers.write(f"{time.perf_counter() - start}\n")
            if line.startswith("keep"):
                torch.save(velocity.float(), line.split(maxsplit=1)[1].strip())
                answers.write("kept\n")


if __name__ == "__main__":
    main()
