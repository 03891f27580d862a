"""A process of its own that compiles StableHLO for a TPU; needs jax and libtpu, and no TPU.

    python compiler_process.py v5e:2x2 MODULE …

One line of JSON for each module: `flops`, `bytes`, `memory` (bytes by kind), `loops`; or `refused`
(`dynamic`, `memory`, `op`) with `reason`, `op` and `location`.
"""

import json
import os
import re
import sys

# The compiler lives in the TPU's driver, which looks for the machine that it is on.
os.environ.update(
    TPU_SKIP_MDS_QUERY="1",
    JAX_PLATFORMS="cpu",
    TPU_ACCELERATOR_TYPE="v5litepod-4",
    TPU_WORKER_ID="0",
    TPU_WORKER_HOSTNAMES="localhost",
    TPU_LOG_DIR="disabled",
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",
)

import numpy as np  # noqa: E402
from jax._src.interpreters import mlir as jax_mlir  # noqa: E402
from jax.experimental import topologies  # noqa: E402
from jaxlib import xla_client  # noqa: E402
from jaxlib.mlir.dialects import stablehlo  # noqa: E402

MEMORY = ("argument", "output", "alias", "temp", "generated_code")


def main(topology: str, *paths: str) -> None:
    device = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[0]
    for path in paths:
        with open(path, "rb") as file:
            answer = compiled(file.read(), device)
        print(json.dumps(answer), flush=True)


def compiled(artifact: bytes, device) -> dict:
    """Return the compiler's results for one module."""
    with jax_mlir.make_ir_context() as context:
        module = stablehlo.deserialize_portable_artifact(context, artifact)
        drop_copies(module.operation)
        operations = list(inner_operations(module.operation))
        dynamic = next((op for op in operations if is_dynamic(op)), None)
        if dynamic is not None:
            return refused("dynamic", f"a result of {result_types(dynamic)}", dynamic)
        options = xla_client.CompileOptions()
        build = options.executable_build_options
        build.num_replicas = build.num_partitions = 1
        options.device_assignment = xla_client.DeviceAssignment.create(np.array([[device.id]]))
        try:
            executable = device.client.compile(module, xla_client.DeviceList((device,)), options)
        except Exception as error:  # noqa: BLE001 - the compiler's refusals have one class for all
            return told(str(error), operations)
        cost, stats = executable.cost_analysis(), executable.get_compiled_memory_stats()
        return {
            "flops": cost.get("flops", 0.0),
            "bytes": cost.get("bytes accessed", 0.0),
            "memory": {kind: getattr(stats, f"{kind}_size_in_bytes") for kind in MEMORY},
            "loops": sum(op.name == "stablehlo.while" for op in operations),
        }


def drop_copies(operation) -> None:
    """Takes out the `mhlo.copy` around results, the one op of TensorFlow's that is no StableHLO."""
    for op in list(inner_operations(operation)):
        if op.name == "mhlo.copy":
            op.result.replace_all_uses_with(op.operands[0])
            op.erase()


def inner_operations(operation):
    for region in operation.regions:
        for block in region.blocks:
            for op in list(block.operations):
                yield op.operation
                yield from inner_operations(op.operation)


def is_dynamic(op) -> bool:
    """Return whether a size is unknown, bounded or not: `tensor<?xf32, #stablehlo.bounds<8>>`.

    The compiler may take it and pad; a batch that is padded to the largest of its sizes is one that
    was not meant.
    """
    return any("?" in str(result.type) for result in op.results)


def result_types(op) -> str:
    return ", ".join(str(result.type) for result in op.results)


def told(error: str, operations: list) -> dict:
    """A refusal of the compiler, with the op that its message speaks of where there is one."""
    reason = error.split("\n")[0].strip()
    if "RESOURCE_EXHAUSTED" in error and "HBM" in error.upper():
        return refused("memory", reason)
    words = set(re.findall(r"\w+", reason.lower().replace("-", "_")))
    speaks_of = [op for op in operations if op.name.split(".")[-1] in words]
    # `c128[8,16]` of the message is `tensor<8x16xcomplex<f64>>` of the module.
    sizes = ["x".join(found.split(",")) for found in re.findall(r"\w+\[([\d,]+)\]", reason)]
    exact = [
        op
        for op in speaks_of
        if any(f"<{size}x" in str(v.type) for v in op.operands for size in sizes)
    ]
    return refused("op", reason, *(exact or speaks_of)[:1])


def refused(kind: str, reason: str, op=None) -> dict:
    answer = {"refused": kind, "reason": reason, "op": "", "location": ""}
    if op is not None:
        named = re.search(r'"([^"]+)"', str(op.location))
        answer |= {"op": op.name.split(".")[-1], "location": named[1] if named else ""}
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
