"""Start and end of every program: flags, one-line errors, exit codes."""

import functools
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from pipelines.errors import InputError
from sparse_mixer_tf.architecture import ArchitectureError
from sparse_mixer_tf.settings import SettingsError

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 75
USER_ERRORS = (InputError, ArchitectureError, SettingsError)


def _parse(argv: Sequence[str], names: str | None) -> list[str]:
    from sparse_mixer_tf.cli.flags import suggestion

    try:
        argv = last_one_counts(flags.FLAGS.read_flags_from_files(argv, force_gnu=False))
        positional = flags.FLAGS(argv, known_only=False)
    except flags.UnrecognizedFlagError as error:
        _exit(f"--{error.flagname} is not a flag{suggestion(error.flagname)}")
    except flags.Error as error:
        _exit(str(error).removeprefix("ERROR:: ").replace("\n", " "))
    except OSError as error:
        _exit(f"--flagfile={error.filename}: {error.strerror}")
    except UnicodeDecodeError as error:
        _exit(f"--flagfile is not text ({error}); give a file with one flag a line")
    except RecursionError:
        _exit("--flagfile includes files that include files without end; give one with fewer")
    if len(positional) > 1 and names is None:
        _exit(f"{positional[1]!r} is not a flag; flags are written --name=value")
    return positional


# Two flags that set the same thing.
RIVALS = (("train_steps", "train_epochs"), ("warmup_steps", "warmup_proportion"))


def last_one_counts(argv: Sequence[str]) -> list[str]:
    """Return the arguments without those that a later one replaces.

    Of two flags that set the same thing, as `--train_steps` and `--train_epochs`, the last one
    given counts. An empty value, as `--init_checkpoint=`, unsets a flag that may be unset.

    Args:
        argv: name of the program and its arguments; flagfiles are spelled out.
    """
    kept: list[list[str]] = []
    for argument in argv[1:]:
        is_value = kept and _wants_value(kept[-1]) and not argument.startswith("-")
        kept[-1:] = [[*kept[-1], argument]] if is_value else [*kept[-1:], [argument]]
    last = {_name_of(group): place for place, group in enumerate(kept)}
    replaced = {min(pair, key=last.get) for pair in RIVALS if last.keys() >= set(pair)}
    for name, place in last.items():
        may_be_unset = name in flags.FLAGS and flags.FLAGS[name].default is None
        if may_be_unset and kept[place] == [f"--{name}="]:
            replaced.add(name)
    return [argv[0], *(a for g in kept if _name_of(g) not in replaced for a in g)]


def _name_of(group: Sequence[str]) -> str:
    return group[0].lstrip("-").partition("=")[0] if group[0].startswith("-") else ""


def _wants_value(group: Sequence[str]) -> bool:
    """Return whether `--name` stands without its value, which the next argument then is."""
    name = _name_of(group)
    is_open = len(group) == 1 and name in flags.FLAGS and "=" not in group[0]
    return is_open and not flags.FLAGS[name].boolean


def _exit(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def run(main: Callable[..., int | None], names: str | None = None) -> None:
    """Runs an entry point and exits with its code; a user's mistake is one line and code 2.

    So is Ctrl-C, one line and code 1.

    Args:
        main: takes nothing, or, with `names`, a list of what is no flag on the command line.
        names: what these are.
    """

    def guarded(argv):
        # TFDS tells of every file that it opens.
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        try:
            return (main() if names is None else main(argv[1:])) or DONE
        except USER_ERRORS as error:
            print(f"error: {error}", file=sys.stderr)
            return BAD_INPUT
        except KeyboardInterrupt:
            # A trainer in its loop takes the signal itself, and saves first.
            print("interrupted", file=sys.stderr)
            return FAILED

    app.run(guarded, flags_parser=functools.partial(_parse, names=names))
