"""Results of the TPU compiler for every preset, router, dispatch and way of mixing.

    python -m benchmarks.tpu_compile [--topology=v5e:2x2] [--only=presets] [--all_programs]

Train steps in bfloat16 with AdamW: 64 sequences of 512 tokens over the chips of the slice, a
vocabulary of 32,000. Needs no TPU but `requirements-tpu-compile.txt`; a base model takes the
compiler a minute or two. Times are rooflines of the compiler's figures, see `tpu/roofline.py`. The
routers, dispatches and ways of mixing stand in models of two sublayers, whose time without the
first of them, a line `alone`, is to be taken off.
"""

import argparse
import multiprocessing
from typing import NamedTuple

from pipelines.settings import DataSettings
from sparse_mixer_tf import presets
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import TASKS
from sparse_mixer_tf.tpu import programs, roofline
from sparse_mixer_tf.tpu.chips import Topology, parse_topology
from sparse_mixer_tf.tpu.compiling import Compiled, compile_modules

BATCH, SEQ, VOCABULARY = 64, 512, 32_000
EXPERTS = {"num_experts": 16, "architecture": "gf"}
# Those that the paper compares first, then the others.
FIRST = ("bert_base", "sparse_mixer_base", "fast_sparse_mixer_base")
PRESETS = (*FIRST, *(name for name in presets.PRESETS if name not in FIRST))


class Case(NamedTuple):
    """A model: its name, what differs from the defaults, and the case that it is measured by."""

    name: str
    model: dict
    peer: str
    task: str = "pretrain"
    seq: int = SEQ


def _mixing(seq: int) -> list[Case]:
    wide = {"d_model": 768, "d_ff": 3072, "num_heads": 12}
    alone = f"f alone, {seq} x 768"
    return [Case(alone, wide | {"architecture": "f"}, alone, seq=seq)] + [
        Case(
            f"{letter} {way}, {seq} x 768",
            wide | {"architecture": f"{letter}f", "mixing_implementation": way},
            alone,
            seq=seq,
        )
        for letter in "rhct"
        for way in ("fft", "matmul")
    ]


SETS = {
    "presets": [Case(name, presets.get(name), "bert_base") for name in PRESETS],
    "brainformer": [
        Case(
            f"3*(sgfgfg) {router} {dispatch}",
            {"architecture": "3*(sgfgfg)", "router": router, "dispatch": dispatch,
             "batch_prioritized_routing": False},
            "3*(sgfgfg) dropless gather",
            task="causal_lm",
        )
        for router, dispatch in (("dropless", "gather"), ("tokens_choose", "gather"))
    ],
    "routing": [Case("f alone", {"architecture": "f"}, "f alone")] + [
        Case(
            f"g {router} {dispatch}{', groups of 512' if size == 512 else ''}",
            EXPERTS | {"router": router, "dispatch": dispatch, "max_group_size": size},
            "f alone",
        )
        for router in ("experts_choose", "tokens_choose", "dropless")
        for dispatch, size in (("gather", 4096), ("einsum", 4096), ("einsum", 512))
        if router != "dropless" or size == 4096
    ],
    "mixing": _mixing(512),
    "mixing_128": _mixing(128),
}  # fmt: skip


def lowered(case: Case, topology: Topology, names: tuple[str, ...]) -> list[programs.Program]:
    """The programs of a case, for the share of one chip."""
    training = TrainingSettings(task=case.task, precision="mixed_bfloat16")
    causal = case.task == "causal_lm"
    values = {k: v for k, v in case.model.items() if k in ModelSettings.__dataclass_fields__}
    data = DataSettings(
        dataset="python_docs", max_seq_length=case.seq, vocab_size=VOCABULARY, block_size=case.seq,
        tokenizer="byte" if causal else "sentencepiece",
    )  # fmt: skip
    task = TASKS[case.task](ModelSettings(**values), training, data)
    task.suppose_data()
    return programs.lowered(task, topology.chips, names=names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--topology", default="v5e:2x2")
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--all_programs", action="store_true", help="not the train step alone")
    arguments = parser.parse_args()
    topology = parse_topology(arguments.topology)
    names = programs.PROGRAMS if arguments.all_programs else (programs.TRAIN,)
    results = {}
    for group in arguments.only:
        print(f"\n{group}, {topology.name}\n{roofline.table_head(topology)}  of peer", flush=True)
        for case in SETS[group]:
            # What was built and traced, up to 7 GB, goes with its process.
            with multiprocessing.get_context("spawn").Pool(1) as process:
                made = process.apply(lowered, (case, topology, names))
            compiled = compile_modules([program.module for program in made], topology)
            for program, result in zip(made, compiled, strict=True):
                results[case.name, program.name] = result
                peer = results[case.peer, program.name]
                name = case.name if program.name == programs.TRAIN else f"  {program.name}"
                line = roofline.table_line(name, program.rows, result, topology)
                if isinstance(result, Compiled) and isinstance(peer, Compiled):
                    chip = topology.chip
                    line += f"{roofline.seconds(result, chip) / roofline.seconds(peer, chip):>9.2f}"
                print(line, flush=True)
    print("\n".join(["", *roofline.notes(topology, list(results.values()), 1)]))


if __name__ == "__main__":
    main()
