"""Trains with several processes on this machine, as a cluster would with one on each.

python -m sparse_mixer_tf.launch --workers=2 -- --flagfile=configs/quickstart.flags --workdir=runs/a

On several machines, start `python -m sparse_mixer_tf.train --strategy=multi_worker …` on each, with
the same flags, a shared `--workdir`, and `TF_CONFIG` as `training.cluster` describes it.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack

from sparse_mixer_tf.cli.app import BAD_INPUT, DONE, FAILED, INTERRUPTED

TRAIN = "sparse_mixer_tf.train"
# A worker that waits for one that is gone does not hear a signal.
_GRACE_SECONDS = 20.0


def main(arguments: Sequence[str]) -> int:
    """Starts the workers, passes on what they print and the signals, and ends as they do."""
    parser = argparse.ArgumentParser(
        prog="sparse_mixer_tf.launch",
        usage="%(prog)s --workers=N -- flags of sparse_mixer_tf.train",
    )
    parser.add_argument("--workers", type=int, required=True, help="processes to start")
    split = list(arguments).index("--") if "--" in arguments else len(arguments)
    workers = parser.parse_args(arguments[:split]).workers
    if workers < 1:
        parser.error(f"--workers={workers} is too small; use 1 or more")
    processes = [
        _start(arguments[split + 1 :], environment) for environment in environments(workers)
    ]
    printers = [
        threading.Thread(target=_pass_on, args=(process.stdout, f"[worker {index}] "))
        for index, process in enumerate(processes)
    ]
    for printer in printers:
        printer.start()
    with _signals_to(processes):
        code = _wait(processes)
    for printer in printers:
        printer.join()
    return code


def environments(workers: int) -> list[dict[str, str]]:
    """The environment of each worker; `TF_CONFIG` names them all and says which it is."""
    if workers == 1:
        return [dict(os.environ)]
    with ExitStack() as stack:
        # All at once, so that no port is handed out twice.
        sockets = [stack.enter_context(socket.socket()) for _ in range(workers)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    return [
        os.environ
        | {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            )
        }
        for index in range(workers)
    ]


def _start(flags: Sequence[str], environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", TRAIN, *flags],
        env=environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Ctrl-C reaches the launcher alone, which passes it on once.
        start_new_session=True,
    )


def _pass_on(lines, prefix: str) -> None:
    for line in lines:
        print(prefix + line, end="", flush=True)


class _signals_to:
    """Passes SIGTERM and SIGINT on to processes while inside."""

    def __init__(self, processes: list[subprocess.Popen]):
        self._processes, self._before = processes, {}

    def _send(self, number, frame):
        for process in self._processes:
            process.send_signal(number)

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._send)

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _wait(processes: list[subprocess.Popen]) -> int:
    """Waits for all; once one fails the others cannot go on, and are ended."""
    codes = [None] * len(processes)
    while None in codes:
        codes = [process.poll() for process in processes]
        for index, code in enumerate(codes):
            if code not in (None, DONE, INTERRUPTED):
                _end(processes)
                ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else "failed"
                advice = "; run the same command again to continue" if code != BAD_INPUT else ""
                print(f"error: worker {index} {ended}, the others were stopped{advice}", flush=True)
                return BAD_INPUT if code == BAD_INPUT else FAILED
        time.sleep(0.1)
    return max(codes)


def _end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
