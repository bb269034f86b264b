"""A registry that the suite serves to a subject: what the OCI distribution API needs for push and pull, in this process, with faults.

It listens on the loopback interface without TLS, keeps everything in memory, writes down what it was asked, and does to single answers what
a check tells it to. It believes nothing that is pushed: a blob whose digest is wrong is refused, as registries do.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from conformance.models.artifacts import IMAGE_TYPE, digest

BODY_BYTES = 64 * 1024 * 1024
"""No body of a request may be longer."""

_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([^/]*)")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_TAGS = re.compile(r"/v2/(.+)/tags/list")


@dataclass(frozen=True, slots=True)
class Sent:
    """A body that is sent instead of the right one.

    Attributes:
        body: the bytes.
        promised: the length in the header, where it differs; the connection is closed after the body.
    """

    body: bytes
    promised: int | None = None


Fault = Callable[[bytes], Sent]
"""What becomes of a body that is served."""


@dataclass
class Registry:
    """What the registry holds, and what happened to it.

    Attributes:
        host: address and port.
        blobs: contents by digest, manifests among them.
        tags: digests of manifests by repository and tag.
        asked: method and path of every request.
        faults: what is done to a blob or manifest that is served, by digest or tag.
    """

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)

    def offer(self, repository: str, tag: str, manifest: bytes, blobs: dict[str, bytes]) -> str:
        """Put an artifact into the registry under a tag, and return the digest of its manifest."""
        name = digest(manifest)
        self.blobs |= {**blobs, name: manifest}
        self.tags[repository, tag] = name
        return name

    def asked_for(self, name: str) -> bool:
        """Tell whether a blob or manifest was asked for, by digest or tag."""
        return any(path.endswith(f"/{name}") for _, path in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry: Registry

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that http.server gave it
        """Say nothing: stderr belongs to the suite."""

    def _answer(self, status: int, body: bytes = b"", *, promised: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        if promised is not None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        """Return the request's body, of known length or in chunks.

        Raises:
            ValueError: it is too long, or its framing is broken.
        """
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b""
            while size := int(self.rfile.readline(32).split(b";")[0], 16):
                body += self.rfile.read(min(size, BODY_BYTES))
                self.rfile.readline(8)
                if len(body) > BODY_BYTES:
                    raise ValueError("the body is too long")
            while self.rfile.readline(1024).strip():
                pass
            return body
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES:
            raise ValueError("the body is too long")
        return self.rfile.read(length)

    def _handle(self) -> None:
        url = urlsplit(self.path)
        try:
            body = self._body()
        except ValueError:
            self.close_connection = True
            self._answer(413)
            return
        self.registry.asked.append((self.command, url.path))
        query = parse_qs(url.query)
        if found := _MANIFEST.fullmatch(url.path):
            self._manifest(found[1], found[2], body)
        elif found := _UPLOAD.fullmatch(url.path):
            self._upload(found[1], found[2], query, body)
        elif found := _BLOB.fullmatch(url.path):
            self._serve(found[2], found[2])
        elif found := _TAGS.fullmatch(url.path):
            tags = sorted(tag for repository, tag in self.registry.tags if repository == found[1])
            self._answer(200, json.dumps({"name": found[1], "tags": tags}).encode(), Content_Type="application/json")
        else:
            self._answer(200 if url.path in {"/v2/", "/v2"} else 404)

    def _manifest(self, repository: str, name: str, body: bytes) -> None:
        registry = self.registry
        if self.command in {"GET", "HEAD"}:
            self._serve(name, name if name.startswith("sha256:") else registry.tags.get((repository, name), ""), Content_Type=IMAGE_TYPE)
            return
        if self.command != "PUT" or (name.startswith("sha256:") and name != digest(body)):
            self._answer(400)
            return
        registry.blobs[digest(body)] = body
        if not name.startswith("sha256:"):
            registry.tags[repository, name] = digest(body)
        self._answer(201, Docker_Content_Digest=digest(body), Location=f"/v2/{repository}/manifests/{digest(body)}")

    def _serve(self, asked: str, name: str, **headers: str) -> None:
        content = self.registry.blobs.get(name)
        if content is None:
            self._answer(404)
            return
        fault = self.registry.faults.get(asked) or self.registry.faults.get(name)
        sent = Sent(content) if fault is None else fault(content)
        headers.setdefault("Content_Type", "application/octet-stream")
        self._answer(200, sent.body, promised=sent.promised, Docker_Content_Digest=name, **headers)

    def _upload(self, repository: str, number: str, query: dict[str, list[str]], body: bytes) -> None:
        """Take a blob: at once, or opened with POST, continued with PATCH and ended with PUT."""
        registry = self.registry
        number = number or str(len(registry.uploads) + 1)
        whole = registry.uploads.get(number, b"") + body
        place = f"/v2/{repository}/blobs/uploads/{number}"
        if "digest" not in query:
            registry.uploads[number] = whole
            self._answer(202, Location=place, Docker_Upload_UUID=number, Range=f"0-{max(len(whole) - 1, 0)}")
            return
        name = query["digest"][0]
        if digest(whole) != name:
            self._answer(400)
            return
        registry.uploads.pop(number, None)
        registry.blobs[name] = whole
        self._answer(201, Docker_Content_Digest=name, Location=f"/v2/{repository}/blobs/{name}")

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = _handle  # noqa: N815 -- http.server finds methods by these names


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a subject that hangs up; what it got is for the checks."""
        del request, client_address


@contextmanager
def serve_registry() -> Iterator[Registry]:
    """Serve an empty registry until the block is left."""
    registry = Registry()
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = _Server(("127.0.0.1", 0), handler)
    registry.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        with contextlib.suppress(OSError):
            server.server_close()
