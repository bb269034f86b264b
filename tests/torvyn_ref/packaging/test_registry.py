"""The same scenarios on the fake registry and on docker-registry: what holds for one holds for the other."""

import json
import socket
import uuid
from contextlib import closing

import pytest
import requests

from torvyn_ref import packaging
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.artifact import IMAGE_MANIFEST, WASM_TYPE, parse_manifest
from torvyn_ref.packaging.registry import RegistrySource


def component(size=2000, fill=b"x"):
    """A valid component: an empty one with a custom section, unlike every other test's."""
    body = b"\x01n" + uuid.uuid4().bytes + fill * size
    length, encoded = len(body), b""
    while length or not encoded:
        encoded += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
        length >>= 7
    return b"\x00asm\x0d\x00\x01\x00\x00" + encoded + body


def artifact(wasm, note="a"):
    layers = [(wasm, WASM_TYPE, "component.wasm"), (b"[torvyn]\n", "application/vnd.torvyn.component.manifest.v1+toml", "Torvyn.toml")]
    return packaging.assemble(layers, config={"component_name": "c"}, annotations={"note": note})


def files_under(cache):
    return sorted(path for path in cache.root.rglob("*") if path.is_file())


@pytest.fixture
def repository():
    return f"team/{uuid.uuid4().hex}"


@pytest.fixture
def pushed(registry, options, repository):
    """A component in the registry: its bytes, its artifact, its tagged reference."""
    wasm = component()
    made = artifact(wasm)
    reference = packaging.parse_oci(f"{registry.host}/{repository}:1.0.0")
    assert packaging.push(reference, made, options) == made.digest
    return wasm, made, reference


def resolve(reference, cache, options, tmp_path, **more):
    return packaging.resolve(str(reference), base_dir=tmp_path, cache=cache, options=options, **more)


def refusal(reference, cache, options, tmp_path, **more):
    with pytest.raises(TorvynError) as raised:
        resolve(reference, cache, options, tmp_path, **more)
    assert raised.value.subsystem == "packaging"
    return raised.value


class TestBothRegistries:
    def test_a_component_is_pulled_by_tag(self, pushed, cache, options, tmp_path):
        wasm, made, reference = pushed
        found = resolve(reference, cache, options, tmp_path)
        assert (found.wasm, found.size, found.artifact, found.cached) == (wasm, len(wasm), made.digest, False)
        assert found.digest == packaging.digest_of(wasm)
        assert found.origin == str(reference)

    def test_a_component_is_pulled_by_digest(self, pushed, cache, options, tmp_path):
        wasm, made, reference = pushed
        pinned = f"oci://{reference.registry}/{reference.repository}@{made.digest}"
        assert resolve(pinned, cache, options, tmp_path).wasm == wasm

    def test_a_component_is_pulled_without_a_cache(self, pushed, options, tmp_path):
        wasm, _, reference = pushed
        assert resolve(reference, None, options, tmp_path).wasm == wasm

    def test_a_tag_and_a_digest_that_disagree_are_not_confused(self, registry, pushed, cache, options, tmp_path):
        _, made, reference = pushed
        other = component()
        packaging.push(packaging.parse_oci(f"{registry.host}/{reference.repository}:2"), artifact(other), options)
        found = resolve(f"oci://{registry.host}/{reference.repository}:2@{made.digest}", cache, options, tmp_path)
        assert found.artifact == made.digest
        assert resolve(f"oci://{registry.host}/{reference.repository}:2", cache, options, tmp_path).wasm == other

    def test_no_tag_means_latest(self, registry, cache, options, repository, tmp_path):
        wasm = component()
        packaging.push(packaging.parse_oci(f"{registry.host}/{repository}"), artifact(wasm), options)
        assert resolve(f"oci://{registry.host}/{repository}:latest", cache, options, tmp_path).wasm == wasm

    def test_a_tampered_blob_of_the_same_size_is_refused_and_leaves_no_entry(self, registry, pushed, cache, options, tmp_path):
        wasm, made, reference = pushed
        registry.tamper(packaging.digest_of(wasm), wasm[:-1] + b"y")
        assert refusal(reference, cache, options, tmp_path).kind == "digest-mismatch"
        names = {path.name for path in files_under(cache)}
        assert not names & {digest.removeprefix("sha256:") for digest in (packaging.digest_of(wasm), made.digest)}
        assert not any(name.startswith(".partial") for name in names)
        assert refusal(reference, cache, options, tmp_path, offline=True).kind == "not-found"

    def test_a_truncated_blob_is_refused_and_leaves_no_file(self, registry, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        registry.tamper(packaging.digest_of(wasm), wasm[:100])
        assert refusal(reference, cache, options, tmp_path).kind == "size-mismatch"
        assert not any(path.read_bytes().startswith(b"\x00asm") for path in files_under(cache))

    def test_a_blob_longer_than_promised_is_refused(self, registry, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        registry.tamper(packaging.digest_of(wasm), wasm + b"more")
        assert refusal(reference, cache, options, tmp_path).kind == "size-mismatch"

    def test_a_tampered_layer_that_is_not_the_component_is_refused_too(self, registry, pushed, cache, options, tmp_path):
        _, made, reference = pushed
        toml = parse_manifest(made.manifest, where="").layers[1]
        registry.tamper(toml.digest, b"[TORVYN]\n")
        try:
            assert refusal(reference, cache, options, tmp_path).kind == "digest-mismatch"
        finally:
            registry.tamper(toml.digest, b"[torvyn]\n")  # every artifact here shares this blob

    @pytest.mark.parametrize("pin", ["tag", "digest"])
    def test_a_tampered_manifest_is_refused(self, registry, pushed, cache, options, tmp_path, pin):
        _, made, reference = pushed
        registry.tamper(made.digest, made.manifest.replace(b'"note":"a"', b'"note":"b"'))
        end = f"@{made.digest}" if pin == "digest" else ":1.0.0"
        error = refusal(f"oci://{reference.registry}/{reference.repository}{end}", cache, options, tmp_path)
        assert error.kind == "digest-mismatch"
        assert files_under(cache) == []

    def test_a_manifest_that_lies_about_a_size_is_refused(self, registry, cache, options, repository, tmp_path):
        made = artifact(component())
        lying = json.loads(made.manifest)
        lying["layers"][0]["size"] += 1
        raw = json.dumps(lying).encode()
        honest = packaging.parse_oci(f"{registry.host}/{repository}:honest")
        packaging.push(honest, made, options)
        registry.tamper(made.digest, raw)
        error = refusal(f"oci://{registry.host}/{repository}@{made.digest}", cache, options, tmp_path)
        assert error.kind == "digest-mismatch"
        blobs = {**made.blobs}
        with pytest.raises(TorvynError) as raised:
            packaging.resolve(f"oci-layout:{layout_with(tmp_path, raw, blobs)}", base_dir=tmp_path, cache=cache)
        assert raised.value.kind == "size-mismatch"

    def test_what_is_not_there_is_not_found(self, registry, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        assert refusal(f"oci://{registry.host}/{reference.repository}:none", cache, options, tmp_path).kind == "not-found"
        assert refusal(f"oci://{registry.host}/nobody/nothing:1", cache, options, tmp_path).kind == "not-found"
        registry.lose(packaging.digest_of(wasm))
        assert refusal(reference, cache, options, tmp_path).kind == "not-found"

    @pytest.mark.parametrize(
        "credentials",
        [None, packaging.Credentials("alice", "wrong"), packaging.Credentials("mallory", "secret"), packaging.Credentials(token="x")],
        ids=["none", "wrong password", "wrong user", "wrong token"],
    )
    def test_a_stranger_is_unauthorized(self, pushed, cache, tmp_path, credentials):
        _, _, reference = pushed
        stranger = packaging.RegistryOptions(insecure=True, credentials=credentials)
        error = refusal(reference, cache, stranger, tmp_path)
        assert error.kind == "unauthorized"
        assert "secret" not in str(error)
        assert files_under(cache) == []

    def test_a_cached_component_needs_no_registry(self, registry, pushed, cache, options, tmp_path):
        wasm, made, reference = pushed
        resolve(reference, cache, options, tmp_path)
        registry.lose(made.digest)
        for again in (reference, f"oci://{reference.registry}/{reference.repository}@{made.digest}"):
            found = resolve(again, cache, options, tmp_path)
            assert (found.wasm, found.cached, found.artifact) == (wasm, True, made.digest)
            assert resolve(again, cache, options, tmp_path, offline=True).wasm == wasm

    def test_a_corrupted_cache_entry_is_dropped_and_fetched_again(self, pushed, cache, options, tmp_path):
        wasm, made, reference = pushed
        resolve(reference, cache, options, tmp_path)
        blob = cache.root / "blobs/sha256" / packaging.digest_of(wasm).removeprefix("sha256:")
        blob.write_bytes(wasm[:-1] + b"y")
        found = resolve(reference, cache, options, tmp_path)
        assert (found.wasm, found.cached) == (wasm, False)
        manifest = cache.root / "blobs/sha256" / made.digest.removeprefix("sha256:")
        manifest.write_bytes(b"{}")
        assert resolve(reference, cache, options, tmp_path).wasm == wasm
        assert resolve(reference, cache, options, tmp_path).cached
        assert blob.read_bytes() == wasm

    def test_a_corrupted_cache_entry_is_never_served_offline(self, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        resolve(reference, cache, options, tmp_path)
        blob = cache.root / "blobs/sha256" / packaging.digest_of(wasm).removeprefix("sha256:")
        blob.write_bytes(b"")
        assert refusal(reference, cache, options, tmp_path, offline=True).kind == "not-found"
        assert not blob.exists()

    def test_a_moved_tag_is_seen_only_when_asked_for(self, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        resolve(reference, cache, options, tmp_path)
        other = component()
        packaging.push(reference, artifact(other), options, force=True)
        assert resolve(reference, cache, options, tmp_path).wasm == wasm
        assert resolve(reference, cache, options, tmp_path, refresh=True).wasm == other
        assert resolve(reference, cache, options, tmp_path).wasm == other

    def test_a_tag_is_not_moved_by_accident(self, pushed, cache, options, tmp_path):
        wasm, made, reference = pushed
        with pytest.raises(TorvynError) as raised:
            packaging.push(reference, artifact(component()), options)
        assert raised.value.kind == "tag-exists"
        assert packaging.push(reference, made, options) == made.digest
        assert resolve(reference, cache, options, tmp_path).wasm == wasm

    def test_an_artifact_beyond_the_limit_is_refused_before_it_is_fetched(self, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        limits = packaging.Limits(component=len(wasm) - 1)
        assert refusal(reference, cache, options, tmp_path, limits=limits).kind == "too-large"
        assert files_under(cache) == []

    def test_a_manifest_beyond_the_limit_is_refused(self, pushed, cache, options, tmp_path):
        _, _, reference = pushed
        assert refusal(reference, cache, options, tmp_path, limits=packaging.Limits(manifest=100)).kind == "too-large"

    def test_an_artifact_without_a_component_is_refused(self, registry, cache, options, repository, tmp_path):
        core = b"\x00asm\x01\x00\x00\x00"
        for tag, made in (
            ("module", artifact(core)),
            ("other", packaging.assemble([(b"x", "text/plain", "x.txt")], config={})),
        ):
            packaging.push(packaging.parse_oci(f"{registry.host}/{repository}:{tag}"), made, options)
            assert refusal(f"oci://{registry.host}/{repository}:{tag}", cache, options, tmp_path).kind == "not-a-component"

    def test_a_large_component_arrives_whole(self, registry, cache, options, repository, tmp_path):
        wasm = component(size=1_000_000)
        packaging.push(packaging.parse_oci(f"{registry.host}/{repository}:1"), artifact(wasm), options)
        assert resolve(f"oci://{registry.host}/{repository}:1", cache, options, tmp_path).wasm == wasm


def layout_with(tmp_path, manifest, blobs):
    """A layout written by hand, so that it may lie."""
    root = tmp_path / "lying-layout"
    (root / "blobs/sha256").mkdir(parents=True)
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    for digest, content in {**blobs, packaging.digest_of(manifest): manifest}.items():
        (root / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(content)
    entry = {"mediaType": IMAGE_MANIFEST, "digest": packaging.digest_of(manifest), "size": len(manifest)}
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return root


class TestFaults:
    """What docker-registry never does, but a network or a hostile registry may."""

    @pytest.fixture
    def registry(self, fake):
        return fake

    def blob_path(self, reference, wasm):
        return ("GET", f"/v2/{reference.repository}/blobs/{packaging.digest_of(wasm)}")

    @pytest.mark.parametrize("length", [True, False], ids=["with Content-Length", "without"])
    def test_an_interrupted_download_leaves_nothing(self, registry, pushed, cache, options, tmp_path, length):
        wasm, _, reference = pushed

        def break_off(handler):
            handler.send_response(200)
            if length:
                handler.send_header("Content-Length", str(len(wasm)))
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(wasm[:1000])
            handler.close_connection = True

        registry.faults[self.blob_path(reference, wasm)] = break_off
        assert refusal(reference, cache, options, tmp_path).kind in {"interrupted", "size-mismatch"}
        assert not any(path.name.startswith(".partial") or path.read_bytes().startswith(b"\x00asm") for path in files_under(cache))
        registry.faults.clear()
        assert resolve(reference, cache, options, tmp_path).wasm == wasm

    def test_an_endless_body_is_cut_off(self, registry, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed

        def endless(handler):
            handler.send_response(200)
            handler.send_header("Connection", "close")
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b"x" * 65536)
            except OSError:
                handler.close_connection = True

        registry.faults[self.blob_path(reference, wasm)] = endless
        assert refusal(reference, cache, options, tmp_path).kind == "size-mismatch"
        registry.faults[("GET", f"/v2/{reference.repository}/manifests/1.0.0")] = endless
        assert refusal(reference, cache, options, tmp_path).kind == "too-large"

    @pytest.mark.parametrize("status", [500, 503, 429, 418])
    def test_a_failing_registry_is_asked_once(self, registry, pushed, cache, options, tmp_path, status):
        _, _, reference = pushed
        registry.faults[("*", "*")] = lambda handler: handler.answer(status, b"x" * 100)
        before = len(registry.requests)
        assert refusal(reference, cache, options, tmp_path).kind == "registry-error"
        # One request without credentials, one with: no retry.
        assert len(registry.requests) - before == 2

    def test_an_endless_error_page_is_cut_off(self, registry, pushed, cache, options, tmp_path):
        _, _, reference = pushed
        registry.faults[("*", "*")] = lambda handler: handler.answer(302, b"x" * 3_000_000, Location="/v2/")
        assert refusal(reference, cache, options, tmp_path).kind == "too-large"

    def test_a_dead_port_is_unreachable_at_once(self, cache, options, tmp_path):
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            error = refusal(f"oci://127.0.0.1:{held.getsockname()[1]}/a/b:1", cache, options, tmp_path)
        assert error.kind == "registry-unreachable"

    def test_a_silent_registry_is_given_up(self, cache, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            options = packaging.RegistryOptions(insecure=True, read_timeout=0.05)
            error = refusal(f"oci://127.0.0.1:{silent.getsockname()[1]}/a/b:1", cache, options, tmp_path)
        assert error.kind == "registry-unreachable"

    def test_plain_http_is_spoken_only_when_asked_for(self, registry, pushed, cache, tmp_path):
        _, _, reference = pushed
        before = len(registry.requests)
        error = refusal(reference, cache, packaging.RegistryOptions(connect_timeout=2, read_timeout=2), tmp_path)
        assert error.kind == "registry-unreachable"
        assert "insecure" in error.hint
        assert len(registry.requests) == before

    def test_nothing_leads_from_https_to_plain_http(self, registry):
        with closing(RegistrySource(packaging.parse_oci("r.example/x:1"))) as source, pytest.raises(requests.exceptions.InvalidSchema):
            source._transport.session.get(f"http://{registry.host}/v2/")
        assert registry.requests == []

    def test_a_token_is_fetched_for_bearer_challenges(self, registry, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        registry.bearer = "opaque"
        assert resolve(reference, cache, options, tmp_path).wasm == wasm
        assert any(path == "/token" for _, path, _ in registry.requests)

    def test_a_token_of_one_scope_is_replaced_when_another_is_needed(self, registry, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        registry.bearer, registry.scoped = "opaque", True
        assert resolve(reference, cache, options, tmp_path).wasm == wasm

    def test_a_given_token_is_used_as_it_is(self, registry, pushed, cache, tmp_path):
        wasm, _, reference = pushed
        registry.bearer = "opaque"
        holder = packaging.RegistryOptions(insecure=True, credentials=packaging.Credentials(token="opaque"))
        assert resolve(reference, cache, holder, tmp_path).wasm == wasm
        assert not any(path == "/token" for _, path, _ in registry.requests)

    @pytest.mark.parametrize("answer", [b"{}", b"no json", b'{"token": "' + b"x" * 2_000_000 + b'"}'], ids=["empty", "no JSON", "endless"])
    def test_a_token_service_that_misbehaves_gives_a_typed_error(self, registry, pushed, cache, options, tmp_path, answer):
        _, _, reference = pushed
        registry.bearer = "opaque"
        registry.token_answer = answer
        assert refusal(reference, cache, options, tmp_path).kind in {"unauthorized", "registry-error", "too-large"}

    def test_credentials_do_not_follow_a_redirect_to_another_host(self, registry, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        elsewhere = registry.host.replace("127.0.0.1", "localhost")

        def redirect(handler):
            if handler.headers["Host"] == elsewhere:
                handler.answer(200, wasm)
            else:
                handler.answer(307, Location=f"http://{elsewhere}{handler.path}")

        registry.faults[self.blob_path(reference, wasm)] = redirect
        assert refusal(reference, cache, options, tmp_path).kind == "unauthorized"
        seen = [headers for _, _, headers in registry.requests if headers["Host"] == elsewhere]
        assert seen
        assert all("Authorization" not in headers for headers in seen)

    def test_a_redirected_blob_is_verified_like_any_other(self, registry, pushed, cache, options, tmp_path):
        wasm, _, reference = pushed
        path = self.blob_path(reference, wasm)
        registry.faults[path] = lambda handler: handler.answer(307, Location="/elsewhere")
        registry.faults[("GET", "/elsewhere")] = lambda handler: handler.answer(200, wasm[:-1] + b"y")
        assert refusal(reference, cache, options, tmp_path).kind == "digest-mismatch"
        registry.faults[("GET", "/elsewhere")] = lambda handler: handler.answer(200, wasm)
        assert resolve(reference, cache, options, tmp_path).wasm == wasm

    def test_a_compressed_answer_is_not_unpacked(self, registry, pushed, cache, options, tmp_path):
        import gzip

        wasm, _, reference = pushed
        registry.faults[self.blob_path(reference, wasm)] = lambda handler: handler.answer(200, gzip.compress(wasm), Content_Encoding="gzip")
        assert refusal(reference, cache, options, tmp_path).kind == "size-mismatch"

    def test_a_cache_hit_makes_no_request(self, registry, pushed, cache, options, tmp_path):
        _, _, reference = pushed
        resolve(reference, cache, options, tmp_path)
        before = len(registry.requests)
        assert resolve(reference, cache, options, tmp_path).cached
        assert len(registry.requests) == before

    def test_a_registry_that_stores_something_else_is_caught_when_pushing(self, registry, options, repository):
        made = artifact(component())
        path = ("PUT", f"/v2/{repository}/manifests/1")
        registry.faults[path] = lambda handler: handler.answer(201, Docker_Content_Digest="sha256:" + "0" * 64)
        with pytest.raises(TorvynError) as raised:
            packaging.push(packaging.parse_oci(f"{registry.host}/{repository}:1"), made, options)
        assert raised.value.kind == "digest-mismatch"

    def test_a_refused_upload_is_an_error(self, registry, options, repository):
        registry.faults[("POST", f"/v2/{repository}/blobs/uploads/")] = lambda handler: handler.answer(507)
        with pytest.raises(TorvynError) as raised:
            packaging.push(packaging.parse_oci(f"{registry.host}/{repository}:1"), artifact(component()), options)
        assert raised.value.kind == "registry-error"
