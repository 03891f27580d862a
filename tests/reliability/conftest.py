"""Runs in processes of their own, which these tests harm."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from sparse_mixer_tf import launch
from tests.programs.conftest import Programs
from tests.programs.warm_start import Program


def latest_bits(workdir: Path) -> dict[str, bytes]:
    """Every array of the newest checkpoint."""
    newest = sorted((workdir / "checkpoints").glob("[0-9]*"))[-1]
    arrays = load_file(newest / "state.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def metrics(workdir: Path, split: str = "train") -> dict[int, dict]:
    """Return the logged records of a run, by step."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return {r["step"]: r for r in map(json.loads, lines) if r["split"] == split}


class Run:
    """The command of one run, started as often as a test likes, without tracing if `eager`."""

    def __init__(
        self, programs: Programs, name: str, *flags: str, workers: int = 1, eager: bool = False
    ):
        self.programs, self.workdir, self.workers = programs, programs.folder / name, workers
        self.eager = eager
        self.flags = [*programs.small, f"--workdir={self.workdir}", *flags]

    def start(self) -> Program:
        """The program that a user starts: with several workers, the one that starts them."""
        if self.workers == 1:
            return self.programs.start("sparse_mixer_tf.train", *self.flags, eager=self.eager)
        launch = ("sparse_mixer_tf.launch", f"--workers={self.workers}", "--")
        return self.programs.start(*launch, *self.flags)

    def start_workers(self) -> list[Program]:
        """The workers without one that watches over them, as on several machines."""
        return [
            self.programs.start(
                "sparse_mixer_tf.train", *self.flags, TF_CONFIG=environment["TF_CONFIG"]
            )
            for environment in launch.environments(self.workers)
        ]

    def finish(self) -> tuple[int, str]:
        """Exit code and output."""
        program = self.start()
        output, _ = program.communicate()
        return program.returncode, output


class MetadataServer(ThreadingHTTPServer):
    """The metadata of a machine of Google's cloud: `values`, by name."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.values = {"maintenance-event": "NONE", "preempted": "FALSE"}


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        folder, _, name = self.path.rpartition("/")
        known = folder == "/computeMetadata/v1/instance" and name in self.server.values
        # As the real one, it refuses who does not know whom he asks.
        is_right = known and self.headers["Metadata-Flavor"] == "Google"
        self.send_response(200 if is_right else 403)
        self.end_headers()
        if is_right:
            self.wfile.write(self.server.values[name].encode())

    def log_message(self, *_):
        """Nothing on the console."""


@pytest.fixture
def metadata(monkeypatch):
    """A metadata server on this machine, known to programs that are started."""
    server = MetadataServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Programs:
    return Programs(tmp_path_factory.mktemp("programs"))
