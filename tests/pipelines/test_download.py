import dataclasses
import hashlib
import http.server
import os
import threading
from pathlib import Path

import pytest

from pipelines.download import download
from pipelines.errors import InputError
from pipelines.sources import enwik8
from tests.programs.warm_start import Program

ARCHIVE = bytes(range(256)) * 3000
ROOT = Path(__file__).resolve().parents[2]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server on this machine in the place of the published one."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.paths = ARCHIVE, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        serve(monkeypatch, f"http://127.0.0.1:{server.server_port}/enwik8.zip")
        yield server
        server.shutdown()


def serve(monkeypatch, url):
    corpus = dataclasses.replace(
        enwik8.CORPORA["enwik8"],
        url=url,
        archive_bytes=len(ARCHIVE),
        archive_sha256=hashlib.sha256(ARCHIVE).hexdigest(),
    )
    monkeypatch.setitem(enwik8.CORPORA, "enwik8", corpus)


def test_an_archive_is_fetched_verified_and_kept(server, tmp_path, capsys):
    path = download("enwik8", tmp_path / "new")
    assert path == tmp_path / "new/enwik8.zip"
    assert path.read_bytes() == ARCHIVE
    assert [entry.name for entry in path.parent.iterdir()] == ["enwik8.zip"]
    assert "fetching enwik8" in capsys.readouterr().err


def test_an_archive_that_is_there_is_not_fetched_again(server, tmp_path):
    download("enwik8", tmp_path)
    download("enwik8", tmp_path)
    assert len(server.paths) == 1


def test_a_damaged_archive_is_replaced(server, tmp_path):
    (tmp_path / "enwik8.zip").write_bytes(ARCHIVE[:-1] + b"x")
    assert download("enwik8", tmp_path).read_bytes() == ARCHIVE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ARCHIVE[:-1], "gave 767,999 bytes instead of 768,000"),
        (ARCHIVE + b"x", "instead of 768,000"),
        (ARCHIVE[:-1] + b"x", "SHA-256"),
    ],
)
def test_another_archive_is_refused_and_not_kept(server, tmp_path, content, message):
    server.content = content
    with pytest.raises(InputError, match=message):
        download("enwik8", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_server_that_refuses_is_one_clear_line(server, tmp_path, monkeypatch):
    serve(monkeypatch, f"http://127.0.0.1:{server.server_port}/missing")
    with pytest.raises(InputError, match="could not be fetched .*404.*check the network"):
        download("enwik8", tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_server_at_all_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    serve(monkeypatch, "http://127.0.0.1:9/enwik8.zip")
    with pytest.raises(InputError, match="could not be fetched") as error:
        download("enwik8", tmp_path)
    assert "\n" not in str(error.value)


def test_other_names_are_refused_with_the_nearest(tmp_path):
    with pytest.raises(InputError, match="--dataset=enwiki8 .* did you mean enwik8"):
        download("enwiki8", tmp_path)
    with pytest.raises(InputError, match="use enwik8 or text8"):
        download("c4/en", tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--data_dir=.*file/x cannot be written"):
        download("enwik8", tmp_path / "file" / "x")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--dataset=enwik8"],
        ["--data_dir=/tmp"],
        ["--dataset=c4/en", "--data_dir=/tmp"],
        ["--dataset=enwik8", "--data_dir=/tmp", "--block_size=0"],
        ["--nosuchflag"],
    ],
)
def test_bad_flags_are_one_line_and_exit_code_2(arguments):
    program = Program("pipelines.download", arguments, ROOT, dict(os.environ))
    said, _ = program.communicate()
    assert program.returncode == 2
    assert said.startswith("error: ") and said.count("\n") == 1
