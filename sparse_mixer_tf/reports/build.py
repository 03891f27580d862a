"""The report of a run, with a look at what its weights have learned."""

from pathlib import Path

import tensorflow as tf

from pipelines.errors import InputError
from sparse_mixer_tf import reports
from sparse_mixer_tf.analysis import files
from sparse_mixer_tf.analysis.inspect_model import look
from sparse_mixer_tf.experiments import log
from sparse_mixer_tf.experiments.load import open_run
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.base import Task
from sparse_mixer_tf.training.checkpoint import CheckpointError


def report(
    workdir: Path, inspect: bool = True, output: Path | None = None, opened: Task | None = None
) -> Path:
    """Writes the page of a run; its path.

    Weights that cannot be looked at, be it that there are none yet or that the data are gone, leave
    the page without what they would tell, or with what an earlier look has told.

    Args:
        workdir: the folder of the run, which may still be going.
        inspect: look at the best weights first.
        output: where the page goes; by default `report/` in the run's folder.
        opened: the run's task with its data open, to spare opening them anew.

    Raises:
        SettingsError: the folder holds no run, or one that has logged nothing yet.
    """
    log.read(workdir)
    if inspect:
        try:
            task, _, step = open_run(workdir)
            record, arrays = look(task, step, opened)
            files.write(workdir, record, arrays)
            if "no_data" in record:
                print(f"held-out data not looked at: {record['no_data']}")
        except (InputError, SettingsError, CheckpointError, OSError, tf.errors.OpError) as error:
            print(f"weights not looked at: {error}")
    return reports.write(workdir, output)
