"""The judge's own tools for packaging and configuration: readers, writers, oracles, and the registry that it serves."""

import gzip
import http.client
import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.models import artifacts, references, settings
from conformance.models.artifacts import Entry
from conformance.subjects.registry import BODY_BYTES, Sent, serve_registry


class TestArchives:
    ENTRIES = (
        Entry("a", b"1"),
        Entry("wit/b.wit", b"x" * 1000, mode=0o755, mtime=7),
        Entry("link", kind="symlink", target="../x"),
        Entry("hard", kind="hardlink", target="a"),
        Entry("folder", kind="directory"),
        Entry("a", b"again"),
    )

    def test_what_is_written_is_listed_as_it_is(self):
        assert artifacts.read_archive(artifacts.write_archive(self.ENTRIES)) == self.ENTRIES

    @pytest.mark.parametrize("raw", [b"", b"text", gzip.compress(b"no tar" * 200, mtime=0), artifacts.write_archive(ENTRIES)[:-30]])
    def test_what_is_no_archive_is_said_to_be_none(self, raw):
        with pytest.raises(ValueError, match="no gzip tar"):
            artifacts.read_archive(raw)

    def test_a_bomb_is_whole_and_as_large_as_it_says(self):
        size = 3 * 1024 * 1024
        raw = artifacts.bomb(self.ENTRIES[:2], "bomb", size)
        assert len(raw) < size / 500
        entries = artifacts.read_archive(raw)  # gzip compares length and checksum
        assert [(entry.name, len(entry.content)) for entry in entries] == [("a", 1), ("wit/b.wit", 1000), ("bomb", size)]

    def test_the_time_of_a_gzip_header_is_seen(self):
        assert artifacts.gzip_time(gzip.compress(b"", mtime=77)) == 77
        assert artifacts.gzip_time(b"short") == 0


def test_versions_are_ordered_as_semver_says():
    rising = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.10",
    ]
    for one, other in itertools.pairwise(rising):
        assert artifacts.precedence(one) < artifacts.precedence(other)
    with pytest.raises(ValueError, match="no version"):
        artifacts.precedence("1.0")


HEX = "0" * 64


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("r/x", ("r", "x", None, None)),
        ("oci://r:80/a/b:1@sha256:" + HEX, ("r:80", "a/b", "1", "sha256:" + HEX)),
        ("r/x@sha256:" + "A" * 64, ("r", "x", None, "sha256:" + "a" * 64)),
        ("r:80", None),
        ("r:0/x", None),
        ("r/x:", None),
        ("r/X", None),
        ("r/../x", None),
        ("r/x:1:2", None),
        ("r/x@sha512:" + HEX * 2, None),
    ],
)
def test_references_are_read_by_position(text, meaning):
    found = references.read(text)
    assert found == (None if meaning is None else references.Meaning(*meaning))


@given(st.text("rx/:@.1", max_size=12))
def test_a_reference_with_a_meaning_is_whole_and_renders_to_itself(text):
    found = references.read(text)
    if found is not None:
        assert references.is_whole(text)
        again = references.read(found.rendered)
        assert again is not None
        assert (again.registry, again.repository) == (found.registry, found.repository)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), (" 2 KiB\t", 2048), ("3g", 3 * 1024**3), ("18446744073709551615", 2**64 - 1), ("18446744073709551616", None)]
    + [(text, None) for text in ("", "K", "1MB", "1.5K", "-1", "1 2", "+1", "1KiBK")],
)
def test_sizes_are_what_the_grammar_says(text, size):
    assert settings.size(text) == size


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("${A}", "1"),
        ("$A", "$A"),
        ("${}", "${}"),
        ("${A", "${A"),
        ("${B}", "${A}"),
        ("x${A}${A}y", "x11y"),
        ("${C}", None),
        ("${}${A}", "${}1"),
    ],
)
def test_variables_are_put_in_once(template, text):
    assert settings.interpolated(template, {"A": "1", "B": "${A}"}) == text


def test_the_highest_layer_that_speaks_decides():
    key = "runtime.worker_threads"
    layers: dict[settings.Layer, dict[str, int]] = {layer: {key: at} for at, layer in enumerate(settings.LAYERS, 1)}
    for layer in reversed(settings.LAYERS):
        assert settings.effective(layers, key) == (layers[layer][key], layer)
        del layers[layer]
    assert settings.effective(layers, key) == (0, "default")


def test_neighbouring_values_of_a_setting_differ():
    for key, setting in settings.SETTINGS.items():
        assert all(one != other for one, other in itertools.pairwise(setting.values)), key


class TestRegistry:
    @pytest.fixture
    def registry(self):
        with serve_registry() as registry:
            yield registry

    def ask(self, registry, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(registry.host)
        try:
            connection.request(method, path, body, headers, encode_chunked="Transfer-Encoding" in headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def test_a_blob_is_taken_at_once_or_in_pieces(self, registry):
        name = artifacts.digest(b"content")
        _, _, headers = self.ask(registry, "POST", "/v2/r/blobs/uploads/")
        assert self.ask(registry, "PUT", f"{headers['Location']}?digest={name}", b"content")[0] == 201
        assert self.ask(registry, "GET", f"/v2/r/blobs/{name}")[:2] == (200, b"content")
        registry.blobs.clear()
        _, _, headers = self.ask(registry, "POST", "/v2/r/blobs/uploads/")
        self.ask(registry, "PATCH", headers["Location"], b"con")
        self.ask(registry, "PATCH", headers["Location"], iter([b"te", b"n"]), **{"Transfer-Encoding": "chunked"})
        assert self.ask(registry, "PUT", f"{headers['Location']}?digest={name}", b"t")[0] == 201
        assert registry.blobs == {name: b"content"}

    def test_a_blob_under_a_wrong_digest_is_not_taken(self, registry):
        assert self.ask(registry, "POST", f"/v2/r/blobs/uploads/?digest={artifacts.digest(b'other')}", b"content")[0] == 400
        assert registry.blobs == {}

    def test_manifests_are_found_by_tag_and_digest(self, registry):
        name = registry.offer("team/x", "1", b"{}", {})
        for end in ("1", name):
            assert self.ask(registry, "GET", f"/v2/team/x/manifests/{end}")[:2] == (200, b"{}")
        assert self.ask(registry, "HEAD", "/v2/team/x/manifests/1")[2]["Docker-Content-Digest"] == name
        assert self.ask(registry, "GET", "/v2/team/y/manifests/1")[0] == 404
        assert registry.asked_for("1")
        assert not registry.asked_for("2")

    def test_a_fault_changes_what_is_served_and_not_what_is_held(self, registry):
        name = registry.offer("x", "1", b"whole", {})
        registry.faults["1"] = lambda content: Sent(content[:2], promised=len(content))
        with pytest.raises(http.client.IncompleteRead):
            self.ask(registry, "GET", "/v2/x/manifests/1")
        assert self.ask(registry, "GET", f"/v2/x/manifests/{name}")[1] == b"whole"

    def test_a_body_without_end_is_refused(self, registry):
        path = "/v2/x/blobs/uploads/1"
        assert self.ask(registry, "PUT", path, io.BytesIO(), **{"Content-Length": str(BODY_BYTES + 1)})[0] == 413
        assert self.ask(registry, "GET", "/v2/")[0] == 200
