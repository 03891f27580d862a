"""Writes the slices of a token store on Apache Beam: here, or on Dataflow, Flink or Spark."""

import contextlib
import io
from collections.abc import Iterable, Sequence

from pipelines.errors import InputError
from pipelines.sources.source import rooms
from pipelines.sources.work_units import Slice
from pipelines.store.distributed_writer import Unfinished

# What DirectRunner comes down to here. DirectRunner itself first looks for another engine on the
# network.
_HERE = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def options(text: str | None):
    """The options of a pipeline from `--beam_pipeline_options`, spelled as for `tfds build`.

    Args:
        text: options without their dashes, comma-separated, as runner=DataflowRunner,project=mine.

    Raises:
        InputError: Apache Beam is not installed, or an option is wrong.
    """
    beam = _beam()
    kinds = beam.options.pipeline_options
    flags = [f"--{option.strip()}" for option in (text or "").split(",") if option.strip()]
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            made = kinds.PipelineOptions(flags)
            runner = made.view_as(kinds.StandardOptions)
            if runner.runner in (None, "DirectRunner"):
                runner.runner = _HERE
                made.view_as(kinds.WorkerOptions).default_sdk_harness_log_level = "WARNING"
            # Each of these looks at some of the options.
            made.get_all_options()
            beam.Pipeline(options=made)
    except (SystemExit, ValueError, ImportError) as error:
        if isinstance(error, SystemExit):
            reason = complaint.getvalue().strip().split("\n")[-1]
        else:
            reason = " ".join(str(error).split())
        raise InputError(
            f"--beam_pipeline_options={text} is wrong ({reason}); use runner=DirectRunner, or the "
            "options of your runner, comma-separated and without dashes"
        ) from None
    return made


def write(work: Unfinished, items: Sequence[Slice], pipeline_options) -> None:
    """Writes every slice that is not there yet.

    Args:
        work: the store.
        items: its slices, in order.
        pipeline_options: as `options` makes them.
    """
    beam = _beam()
    bounded = work.settings.max_documents is not None
    with beam.Pipeline(options=pipeline_options) as pipeline:
        room = {}
        if bounded:
            counts = (
                pipeline
                | "slices to count" >> beam.Create(list(items))
                | "spread the counting" >> beam.Reshuffle()
                | "count" >> beam.Map(_count, work)
            )
            room = beam.pvalue.AsDict(counts)
        before = None
        for split in dict.fromkeys(item.split for item in items):
            chosen = [item for item in items if item.split == split]
            side = [beam.pvalue.AsIter(before)] if before else []
            before = (
                pipeline
                | f"{split} slices" >> beam.Create(chosen)
                | f"spread {split}" >> beam.Reshuffle()
                # Training documents are held against the validation ones, which come first.
                | f"write {split}" >> beam.Map(_write, work, room, *side)
            )


def _count(item: Slice, work: Unfinished) -> tuple[Slice, int]:
    return item, work.source().count(item)


def _write(
    item: Slice, work: Unfinished, counts: dict[Slice, int], behind: Iterable[Slice] = ()
) -> Slice:
    del behind
    source = work.source()
    room = rooms(source, source.slices(), counts)[item] if counts else None
    work.write(item, room)
    return item


def _beam():
    try:
        import apache_beam
    except ImportError:
        raise InputError(
            "--runner=beam needs Apache Beam; pip install -r requirements-beam.txt, or use "
            "--runner=local"
        ) from None
    return apache_beam
