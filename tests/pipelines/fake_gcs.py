"""A Google Cloud Storage of local folders, which TensorFlow's own `gs://` client talks to.

TensorFlow's client knows no other address than googleapis.com, so the server plays the HTTPS proxy
too: whatever host the client asks it to connect to, it answers itself, under a certificate that
`CURL_CA_BUNDLE` makes the client trust.
"""

import contextlib
import http.server
import json
import shutil
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.optional import need_program

HOSTS = ("www.googleapis.com", "storage.googleapis.com")


@contextlib.contextmanager
def serve(root: Path, scratch: Path) -> Iterator[dict[str, str]]:
    """Serves `root/BUCKET/...` as `gs://BUCKET/...`, to be read and written.

    The test skips where `openssl`, which makes the certificate, is missing.

    Yields:
        The environment in which a process sees it.
    """
    certificate, key = scratch / "certificate.pem", scratch / "key.pem"
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    command = [
        need_program("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=fake", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        [*command, "-addext", f"subjectAltName={names}"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.root, server.tls = root, context
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield {
            "https_proxy": proxy,
            "CURL_CA_BUNDLE": str(certificate),
            # No credentials are looked for, on this machine or on the network.
            "NO_GCE_CHECK": "true",
            "no_proxy": "",
        }
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if not url.path.startswith("/storage/v1/b/"):
            return self._content(self.server.root / urllib.parse.unquote(url.path).lstrip("/"))
        bucket, *rest = url.path.removeprefix("/storage/v1/b/").split("/", 2)
        folder = self.server.root / bucket
        if rest == ["o"]:
            return self._answer(_listing(folder, query.get("prefix", ""), "delimiter" in query))
        path = folder / urllib.parse.unquote(rest[1]) if rest else folder
        if not (path.is_file() if rest else path.is_dir()):
            return self._send(404, b"{}")
        return self._answer(_object(folder, path) if rest else {"name": bucket})

    def do_POST(self):
        """An upload begins, or an object is copied to another name."""
        url = urllib.parse.urlsplit(self.path)
        self._body()
        if url.path.startswith("/upload/"):
            bucket = url.path.split("/")[5]
            name = dict(urllib.parse.parse_qsl(url.query))["name"]
            place = urllib.parse.quote(f"{bucket}/{name}", safe="")
            return self._send(200, b"", {"Location": f"https://www.googleapis.com/put/{place}"})
        source, target = url.path.removeprefix("/storage/v1/b/").split("/rewriteTo/b/")
        paths = [self._object_path(place) for place in (source, target)]
        if not paths[0].is_file():
            return self._send(404, b"{}")
        paths[1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(*paths)
        return self._answer({"done": True})

    def do_PUT(self):
        path = self.server.root / urllib.parse.unquote(self.path.removeprefix("/put/"))
        content = self._body()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self._answer({})

    def do_DELETE(self):
        path = self._object_path(self.path.removeprefix("/storage/v1/b/").split("?")[0])
        if not path.is_file():
            return self._send(404, b"{}")
        path.unlink()
        return self._send(204, b"")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # The client tells the length, too, but sends chunks.
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _object_path(self, place: str) -> Path:
        """Of BUCKET/o/OBJECT, as addresses spell it."""
        bucket, _, name = place.split("/", 2)
        return self.server.root / bucket / urllib.parse.unquote(name)

    def _content(self, path: Path):
        if not path.is_file():
            return self._send(404, b"")
        content = path.read_bytes()
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        return self._send(206 if part else 416, part)

    def _answer(self, value: dict):
        return self._send(200, json.dumps(value).encode())

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def _object(folder: Path, path: Path) -> dict:
    facts = path.stat()
    return {
        "name": str(path.relative_to(folder)),
        "size": str(facts.st_size),
        "generation": str(facts.st_mtime_ns),
        "updated": "2020-01-01T00:00:00.000Z",
    }


def _listing(folder: Path, prefix: str, one_level: bool) -> dict:
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    names = [name for name in names if name.startswith(prefix)]
    if not one_level:
        return {"items": [_object(folder, folder / name) for name in names]}
    here = [name for name in names if "/" not in name[len(prefix) :]]
    deeper = {prefix + name[len(prefix) :].split("/")[0] + "/" for name in names}
    return {
        "items": [_object(folder, folder / name) for name in here],
        "prefixes": sorted(deeper - {f"{name}/" for name in here}),
    }
