"""Writes the report of a run anew, or one page on which runs stand side by side.

python -m sparse_mixer_tf.report runs/quickstart
python -m sparse_mixer_tf.report runs/a runs/b --output=runs/a_and_b
"""

from pathlib import Path

from absl import flags

import sparse_mixer_tf.cli.flags  # noqa: F401, defines --workdir and --inspect
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.reports import build, comparison
from sparse_mixer_tf.settings import SettingsError

flags.DEFINE_string(
    "output",
    None,
    "Folder for the page; by default the report/ of the run, or of several runs a folder beside "
    "the first.",
)
# What --help shows besides the program's own flags.
flags.declare_key_flag("workdir")
flags.declare_key_flag("inspect")
FLAGS = flags.FLAGS


def main(arguments: list[str]) -> int:
    workdirs = [Path(argument) for argument in arguments]
    if FLAGS.workdir is not None:
        workdirs.insert(0, Path(FLAGS.workdir))
    if not workdirs:
        raise SettingsError(
            "no run was named; expected one workdir or more, as in "
            "python -m sparse_mixer_tf.report runs/quickstart"
        )
    output = None if FLAGS.output is None else Path(FLAGS.output)
    if output is not None and output.exists() and not output.is_dir():
        raise SettingsError(f"--output={output} is a file; give a folder")
    if len(workdirs) == 1:
        page = build.report(workdirs[0], FLAGS.inspect, output)
    else:
        page = comparison.write(workdirs, output or comparison.default_folder(workdirs))
    print(f"report: {page}")
    return app.DONE


if __name__ == "__main__":
    app.run(main, names="workdirs")
