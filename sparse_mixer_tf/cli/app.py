"""How every entry point starts and ends: flags parsed, mistakes told in one line, exit codes."""

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
