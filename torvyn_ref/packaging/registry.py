"""Registries: transport and authentication through `oras`, everything else by hand.

`oras` neither verifies what it pulls nor bounds it, leaves partial files at their final name, and sleeps 131 s over a dead port. So
nothing here calls its `pull`: manifests are asked for as raw bytes and blobs by digest, in one attempt with explicit timeouts, and the
caller verifies them as they arrive. What stays with `oras` is token authentication and the blob upload protocol.
"""

from __future__ import annotations

import base64
import inspect
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import oras.auth
import oras.container
import oras.provider
import requests
import urllib3.exceptions
from requests.adapters import BaseAdapter, HTTPAdapter

from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.artifact import IMAGE_MANIFEST, Artifact, Descriptor, check_manifest_digest, digest_mismatch, parse_manifest
from torvyn_ref.packaging.errors import refused
from torvyn_ref.packaging.files import CHUNK
from torvyn_ref.packaging.reference import DEFAULT_TAG, OciReference

_MAX_CONTROL_BODY: Final = 1024 * 1024
"""Most bytes of an answer that is not a blob: a token, an error, an upload location."""
_ORAS_REQUEST: Final = inspect.unwrap(oras.provider.Registry.do_request)
"""oras's request without its decorator, which retries for 131 s."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to authenticate: a user and password, or a bearer token."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How to talk to a registry."""

    insecure: bool = False
    """Speak plain HTTP. Only for a registry on this machine or a network you trust."""
    credentials: Credentials | None = None
    connect_timeout: float = 10.0
    """Seconds to reach the registry."""
    read_timeout: float = 30.0
    """Seconds without a byte before giving up."""
    total_timeout: float = 600.0
    """Seconds for one answer, however steadily it drips."""


DEFAULT_OPTIONS: Final = RegistryOptions()


class _Adapter(HTTPAdapter):
    """Gives every request the timeouts, retries none, and bounds every body but a streamed success."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        super().__init__(max_retries=0)

    def send(self, request: requests.PreparedRequest, stream: bool = False, **options: Any) -> requests.Response:  # type: ignore[override]  # noqa: FBT001, FBT002 - requests' own signature, its rest in **options
        options["timeout"] = (self._options.connect_timeout, self._options.read_timeout)
        response = super().send(request, stream=True, **options)
        if not stream or response.is_redirect or not response.ok:
            body = b"".join(_bounded(response, _MAX_CONTROL_BODY, self._options.total_timeout))
            # requests reads a body nobody streams to its end, whatever its length: hand it the bounded one as already read.
            response._content = body  # noqa: SLF001 - requests has no public way to set a body
            response._content_consumed = True  # noqa: SLF001 - as above
        return response


class _NoPlainHttp(BaseAdapter):
    """Refuses http:// when the caller did not ask for it: no redirect or token realm may drop the encryption."""

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]  # nothing is sent: the options do not matter
        raise requests.exceptions.InvalidSchema(f"refusing plain HTTP for {request.url}")

    def close(self) -> None:
        """Hold nothing, so release nothing."""


class _TooLargeError(Exception):
    """A body went on beyond its bound."""


class _TooSlowError(Exception):
    """A body did not end in time."""


def _bounded(response: requests.Response, limit: int, seconds: float) -> Iterator[bytes]:
    """Yield a body as sent, at most `limit` bytes of it, within `seconds`."""
    deadline = time.monotonic() + seconds
    seen = 0
    try:
        while chunk := response.raw.read(CHUNK, decode_content=False):
            seen += len(chunk)
            if seen > limit:
                raise _TooLargeError
            if time.monotonic() > deadline:
                raise _TooSlowError
            yield chunk
    finally:
        response.close()


class _Transport(oras.provider.Registry):  # type: ignore[misc]  # oras ships no types
    """oras's registry client with our session and one attempt per request."""

    def __init__(self, registry: str, options: RegistryOptions) -> None:
        super().__init__(hostname=registry, insecure=options.insecure, auth_backend="token")
        self.session: requests.Session
        self.credentials = options.credentials
        self.session.mount("https://", _Adapter(options))
        self.session.mount("http://", _Adapter(options) if options.insecure else _NoPlainHttp())
        self.session.headers["Accept-Encoding"] = "identity"
        # A proxy may be needed to reach the world, never to reach an insecure registry; .netrc must not replace what was given here.
        self.session.trust_env = not options.insecure
        self.session.auth = _leave_alone
        self._authorization: str | None = None
        if self.credentials is not None:
            if self.credentials.token is not None:
                self._authorization = f"Bearer {self.credentials.token}"
            else:
                self.auth.set_basic_auth(self.credentials.username, self.credentials.password)

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
        stream: bool = False,  # noqa: FBT001, FBT002 - oras's own signature
    ) -> requests.Response:
        """Ask once; answer one challenge. Basic is answered here, Bearer by oras."""
        headers = dict(headers or {})
        if self._authorization is not None:
            headers["Authorization"] = self._authorization
        elif self.auth.token is not None:
            headers.update(self.auth.get_auth_header())
        response = self.session.request(method, url, data=data, json=json, headers=headers, stream=stream)
        if response.status_code != requests.codes.unauthorized or self._authorization is not None:
            return response
        scheme = response.headers.get("WWW-Authenticate", "").partition(" ")[0].lower()
        if scheme == "basic" and self.credentials is not None:
            response.close()
            pair = f"{self.credentials.username}:{self.credentials.password}".encode()
            self._authorization = f"Basic {base64.b64encode(pair).decode()}"
            headers["Authorization"] = self._authorization
            return self.session.request(method, url, data=data, json=json, headers=headers, stream=stream)
        if scheme != "bearer":
            return response
        response.close()
        headers.pop("Authorization", None)
        self.auth.token = None  # a token is good for one scope only
        answered: requests.Response = _ORAS_REQUEST(self, url, method, data, headers, json, stream)
        return answered


def _leave_alone(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class RegistrySource:
    """One artifact of a registry (the `Source` protocol)."""

    def __init__(self, reference: OciReference, options: RegistryOptions = DEFAULT_OPTIONS) -> None:
        self.where = str(reference)
        self._reference = reference
        self._options = options
        self._transport = _Transport(reference.registry, options)
        scheme = "http" if options.insecure else "https"
        self._base = f"{scheme}://{reference.registry}/v2/{reference.repository}"

    def manifest(self, limit: int) -> bytes:
        """Return the raw manifest; its digest agrees with the reference's, and with what the registry itself claims.

        Raises:
            TorvynError: not-found, unauthorized, registry-unreachable, registry-error, interrupted, too-large, digest-mismatch.
        """
        url = f"{self._base}/manifests/{self._reference.pinned}"
        with self._answer("GET", url, headers={"Accept": IMAGE_MANIFEST}, stream=True) as response:
            raw = b"".join(_bounded(response, limit, self._options.total_timeout))
            found = check_manifest_digest(raw, self._reference.digest, where=self.where)
            claimed = response.headers.get("Docker-Content-Digest")
            if claimed is not None and claimed != found:
                raise digest_mismatch("the manifest", claimed, found, where=self.where)
        return raw

    def blob(self, descriptor: Descriptor) -> Generator[bytes]:
        """Yield a blob's bytes as they arrive, unverified.

        Raises:
            TorvynError: as `manifest`, while iterating.
        """
        # One chunk beyond the promised size is let through, so that the verifier sees the excess and names it.
        with self._answer("GET", f"{self._base}/blobs/{descriptor.digest}", stream=True) as response:
            yield from _bounded(response, descriptor.size + CHUNK, self._options.total_timeout)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.session.close()

    def exists(self) -> str | None:
        """Return the digest the tag names now (without a tag, whether the digest is there), or None when there is no such manifest."""
        url = f"{self._base}/manifests/{self._reference.tag or self._reference.pinned}"
        try:
            with self._answer("HEAD", url, headers={"Accept": IMAGE_MANIFEST}) as response:
                return str(response.headers.get("Docker-Content-Digest", ""))
        except TorvynError as error:
            if error.kind == "not-found":
                return None
            raise

    def push(self, artifact: Artifact, *, force: bool = False) -> str:
        """Upload an artifact's blobs, then its manifest, and return the manifest's digest (OCI-016).

        Raises:
            TorvynError: tag-exists when the tag names another artifact and `force` is not set; otherwise as `manifest`.
        """
        check_manifest_digest(artifact.manifest, self._reference.digest, where=self.where)
        name = self._reference.tag or self._reference.digest or DEFAULT_TAG
        present = self.exists()
        if present is not None and present != artifact.digest and not force:
            raise refused("tag-exists", f"the tag names {present}", where=self.where, hint="use another tag, or force")
        for descriptor in parse_manifest(artifact.manifest, where=self.where).descriptors:
            with self._uploading(artifact.blobs[descriptor.digest]) as path:
                layer = {"digest": descriptor.digest, "size": descriptor.size}
                self._checked(partial(self._transport.upload_blob, path, self._container(), layer))
        url = f"{self._base}/manifests/{name}"
        with self._answer("PUT", url, data=artifact.manifest, headers={"Content-Type": IMAGE_MANIFEST}) as response:
            claimed = response.headers.get("Docker-Content-Digest", artifact.digest)
        if claimed != artifact.digest:
            raise digest_mismatch("the pushed manifest", artifact.digest, claimed, where=self.where)
        return artifact.digest

    def _container(self) -> oras.container.Container:
        """Return oras's own form of the repository, from our parts instead of its unanchored pattern."""
        container = oras.container.Container("placeholder", registry=self._reference.registry)
        namespace, _, container.repository = self._reference.repository.rpartition("/")
        container.namespace = namespace or None
        return container

    @contextmanager
    def _uploading(self, content: bytes) -> Iterator[str]:
        """Put content into a file for oras, which uploads nothing else."""
        with tempfile.NamedTemporaryFile(prefix="torvyn-push-") as stream:
            stream.write(content)
            stream.flush()
            yield stream.name

    @contextmanager
    def _answer(self, method: str, url: str, **options: Any) -> Iterator[requests.Response]:
        with self._failures(), self._checked(lambda: self._transport.do_request(url, method, **options)) as response:
            yield response

    def _checked(self, ask: Callable[[], requests.Response]) -> requests.Response:
        """Return a successful response, or say what the registry's status means."""
        with self._failures():
            response = ask()
        status = response.status_code
        if status in (200, 201, 202):
            return response
        response.close()
        if status in (401, 403):
            hint = "give credentials for this registry" if self._options.credentials is None else "check the credentials and their rights"
            raise refused("unauthorized", f"the registry refuses access ({status})", where=self.where, hint=hint)
        if status == requests.codes.not_found:
            raise refused("not-found", "the registry has no such artifact", where=self.where, hint="check repository, tag and digest")
        raise refused("registry-error", f"the registry answered {status}", where=self.where)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn the transport's exceptions into this room's kinds, at this one boundary."""
        try:
            yield
        except _TooLargeError:
            raise refused("too-large", "the registry sent more than allowed", where=self.where) from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise refused(
                "registry-unreachable",
                f"cannot reach the registry: {_first_line(error)}",
                where=self.where,
                hint=None if self._options.insecure else "a registry without TLS needs insecure=true",
            ) from None
        except (urllib3.exceptions.HTTPError, _TooSlowError) as error:
            raise refused("interrupted", f"the answer broke off: {_first_line(error) or 'too slow'}", where=self.where) from None
        except requests.RequestException as error:
            raise refused("registry-error", _first_line(error), where=self.where) from None
        except ValueError as error:
            # oras says "cannot respond to request for authentication" this way.
            raise refused("unauthorized", f"the registry refuses access: {_first_line(error)}", where=self.where) from None


def push(reference: OciReference, artifact: Artifact, options: RegistryOptions = DEFAULT_OPTIONS, *, force: bool = False) -> str:
    """Upload an artifact to a registry and return its digest; see `RegistrySource.push`."""
    with closing(RegistrySource(reference, options)) as source:
        return source.push(artifact, force=force)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
