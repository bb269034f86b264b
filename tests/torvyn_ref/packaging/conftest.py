"""Two registries that must behave alike: a fake one in this process, and Debian's docker-registry on loopback."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from torvyn_ref import packaging
from torvyn_ref.packaging.artifact import IMAGE_MANIFEST

CREDENTIALS = packaging.Credentials("alice", "secret")
# bcrypt of "secret": the only form docker-registry's htpasswd reads.
HTPASSWD = "alice:$2b$04$qkzHGOOdEJsXfjnef4bz/..QWMV.4j8MQmSIs1oaVKTsHyRHyhAj.\n"
BASIC = "Basic " + base64.b64encode(b"alice:secret").decode()


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass
class Fake:
    """An OCI registry in a thread. `faults` maps a path to a function that answers instead."""

    host: str = ""
    blobs: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)
    faults: dict = field(default_factory=dict)
    bearer: str | None = None
    token_answer: bytes | None = None
    scoped: bool = False

    def token(self, scope):
        """The token a request of this scope needs: one for all, or one for manifests and another for blobs."""
        return f"{self.bearer}-{scope}" if self.scoped else self.bearer

    def tamper(self, digest, content):
        self.blobs[digest] = content

    def lose(self, digest):
        del self.blobs[digest]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fake: Fake

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refused(self, path):
        authorization = self.headers.get("Authorization")
        if self.fake.bearer is not None:
            scope = "blobs" if "/blobs/" in path else "manifests"
            if authorization == f"Bearer {self.fake.token(scope)}":
                return False
            realm = f'Bearer realm="http://{self.fake.host}/token",service="fake",scope="{scope}"'
            self.answer(401, WWW_Authenticate=realm)
            return True
        if authorization != BASIC:
            self.answer(401, WWW_Authenticate='Basic realm="torvyn"')
            return True
        return False

    def handle_any(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.fake.requests.append((self.command, url.path, dict(self.headers)))
        if url.path == "/token":
            if self.fake.token_answer is not None:
                return self.answer(200, self.fake.token_answer)
            if self.headers.get("Authorization") != BASIC:
                return self.answer(401)
            return self.answer(200, json.dumps({"token": self.fake.token(parse_qs(url.query)["scope"][0])}).encode())
        if self.refused(url.path):
            return None
        if (fault := self.fake.faults.get((self.command, url.path)) or self.fake.faults.get(("*", "*"))) is not None:
            return fault(self)
        if match := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", url.path):
            return self.manifest(match[1], match[2], body)
        if match := re.fullmatch(r"/v2/(.+)/blobs/uploads/.*", url.path):
            return self.upload(match[1], parse_qs(url.query), body)
        if match := re.fullmatch(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", url.path):
            content = self.fake.blobs.get(match[2])
            return self.answer(404) if content is None else self.answer(200, content, Docker_Content_Digest=match[2])
        return self.answer(404)

    def manifest(self, repository, name, body):
        if self.command == "PUT":
            digest = sha256(body)
            self.fake.blobs[digest] = body
            if not name.startswith("sha256:"):
                self.fake.tags[repository, name] = digest
            return self.answer(201, Docker_Content_Digest=digest)
        digest = name if name.startswith("sha256:") else self.fake.tags.get((repository, name))
        content = self.fake.blobs.get(digest)
        if content is None or IMAGE_MANIFEST not in self.headers.get("Accept", ""):
            return self.answer(404)
        return self.answer(200, content, Content_Type=IMAGE_MANIFEST, Docker_Content_Digest=digest)

    def upload(self, repository, query, body):
        if self.command == "POST":
            return self.answer(202, Location=f"/v2/{repository}/blobs/uploads/1")
        (digest,) = query["digest"]
        if digest != sha256(body):
            return self.answer(400)
        self.fake.blobs[digest] = body
        return self.answer(201, Docker_Content_Digest=digest)

    do_GET = do_HEAD = do_PUT = do_POST = handle_any  # noqa: N815 - http.server finds methods by these names


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is part of several tests; anything else is a fault of the fake and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture
def fake():
    state = Fake()
    handler = type("BoundHandler", (Handler,), {"fake": state})
    server = Server(("127.0.0.1", 0), handler)
    state.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Docker:
    """docker-registry with its storage at hand, so that a test can change what is on its disk."""

    host: str
    storage: Path

    def _data(self, digest):
        name = digest.removeprefix("sha256:")
        return self.storage / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"

    def tamper(self, digest, content):
        self._data(digest).write_bytes(content)

    def lose(self, digest):
        self._data(digest).unlink()


CONFIG = """
version: 0.1
log:
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {root}/storage
auth:
  htpasswd:
    realm: torvyn
    path: {root}/htpasswd
http:
  addr: 127.0.0.1:0
"""


@pytest.fixture(scope="session")
def docker(tmp_path_factory):
    program = shutil.which("docker-registry")
    if program is None:
        message = "Debian's docker-registry is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    root = tmp_path_factory.mktemp("docker-registry")
    (root / "config.yml").write_text(CONFIG.format(root=root))
    (root / "htpasswd").write_text(HTPASSWD)
    process = subprocess.Popen(
        [program, "serve", str(root / "config.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={},
    )
    listening = threading.Event()
    found = []

    def read_log():
        for line in process.stderr:
            if not found and (match := re.search(r"listening on (127\.0\.0\.1:\d+)", line)):
                found.append(match[1])
                listening.set()
        listening.set()

    reader = threading.Thread(target=read_log)
    reader.start()
    try:
        assert listening.wait(timeout=60), "docker-registry did not start"
        assert found, f"docker-registry ended with {process.poll()}"
        yield Docker(found[0], root / "storage")
    finally:
        process.terminate()
        process.wait(timeout=30)
        reader.join()
        process.stderr.close()


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.registry)])
def registry(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def options():
    return packaging.RegistryOptions(insecure=True, credentials=CREDENTIALS)


@pytest.fixture
def cache(tmp_path):
    return packaging.Cache(tmp_path / "cache")
