"""Packing, unpacking, inspecting and admitting: what the checks of the suite do not look at, and the errors a stranger gets."""

import gzip
import io
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref import packaging
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging import signing
from torvyn_ref.packaging.artifact import parse_manifest
from torvyn_ref.packaging.image import image
from torvyn_ref.packaging.packing import wit_layer

RECORD = packaging.BuildRecord("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z")
MANIFEST = '[component]\nname = "tidy"\nversion = "1.2.3"\n'
KEY = b"k" * 32


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "project"
    (root / "wit" / "deps").mkdir(parents=True)
    (root / "Torvyn.toml").write_text(MANIFEST)
    (root / "component.wasm").write_bytes(b"\x00asm\x0d\x00\x01\x00")
    (root / "wit" / "world.wit").write_text("package a:b;\n")
    (root / "wit" / "deps" / "c.wit").write_text("package c:d;\n")
    return root


@pytest.fixture
def packed(project, tmp_path):
    return packaging.pack(project, tmp_path / "out", RECORD)


def attempt(call, *arguments, **options):
    """What a call returned, and the kind of the typed error it raised instead; anything else it raises is a failure."""
    try:
        return call(*arguments, **options), None
    except TorvynError as error:
        return None, error.kind


def kind(call, *arguments, **options):
    with pytest.raises(TorvynError) as raised:
        call(*arguments, **options)
    return raised.value.kind


def test_an_artifact_unpacks_to_what_was_packed(project, packed, tmp_path):
    packaging.unpack(packed.path, tmp_path / "again")
    for file in project.rglob("*"):
        if file.is_file():
            assert (tmp_path / "again" / file.relative_to(project)).read_bytes() == file.read_bytes()


def test_a_directory_that_holds_something_is_left_alone(packed, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    assert kind(packaging.unpack, packed.path, tmp_path / "mine") == "not-empty"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]
    assert not list(tmp_path.glob(".partial-*"))


def test_entries_that_cannot_both_be_files_leave_nothing(packed, tmp_path):
    files = [*packaging.read_archive(packed.path).items(), ("wit/world.wit/inner.wit", b"")]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    (tmp_path / "odd.torvyn").write_bytes(gzip.compress(buffer.getvalue()))
    assert kind(packaging.unpack, tmp_path / "odd.torvyn", tmp_path / "odd") == "unreadable"
    assert not (tmp_path / "odd").exists()


def test_an_output_that_cannot_be_written_is_a_typed_error(project, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert kind(packaging.pack, project, tmp_path / "file", RECORD) == "unreadable"


def test_without_wit_files_the_hint_says_what_belongs_there(project, tmp_path):
    for file in project.rglob("*.wit"):
        file.unlink()
    assert kind(packaging.pack, project, tmp_path / "out", RECORD) == "no-wit-files"


def test_the_wit_layer_holds_the_wit_files_alone(packed):
    with tarfile.open(fileobj=io.BytesIO(wit_layer(packaging.read_archive(packed.path)))) as tar:
        assert tar.getnames() == ["wit/deps/c.wit", "wit/world.wit"]


def test_an_image_is_dated_by_the_build_and_so_always_the_same(packed):
    (one, number), (other, _) = image(packed.path), image(packed.path)
    assert (one.digest, number) == (other.digest, "1.2.3")
    assert parse_manifest(one.manifest, where="here").annotations["org.opencontainers.image.created"] == RECORD.finished_on


def test_inspection_says_unknown_for_a_tool_that_nobody_named(packed):
    found = packaging.inspect(packed.path)
    assert (found.build_tool, found.wasm_size, found.wit_files) == ("unknown", 8, ("deps/c.wit", "world.wit"))


@pytest.mark.parametrize(
    ("lines", "runtime", "fits"),
    [
        ("", "0.1.0", True),
        ('min-torvyn-version = "0.2.0"', "0.1.9", False),
        ('min-torvyn-version = "0.2.0"', "0.2.0-rc.1", False),
        ('min-torvyn-version = "0.2.0"', "0.2.0", True),
        ('max-torvyn-version = "0.2.0"', "0.2.0", True),
        ('max-torvyn-version = "0.2.0"', "0.10.0", False),
    ],
)
def test_versions_are_a_closed_range(project, tmp_path, lines, runtime, fits):
    (project / "Torvyn.toml").write_text(f"{MANIFEST}[compatibility]\n{lines}\n")
    made = packaging.pack(project, tmp_path / "out", RECORD)
    if fits:
        packaging.admit(made.path, policy=packaging.Policy.ALLOW, runtime=runtime)
    else:
        assert kind(packaging.admit, made.path, policy=packaging.Policy.ALLOW, runtime=runtime) == "incompatible"


def test_a_component_for_another_runtime_is_refused_where_it_is_resolved(project, tmp_path):
    (project / "Torvyn.toml").write_text(f'{MANIFEST}[compatibility]\nmin-torvyn-version = "99.0.0"\n')
    made = packaging.pack(project, tmp_path / "out", RECORD)
    assert kind(packaging.resolve, str(made.path), base_dir=tmp_path) == "incompatible"


class TestSignatures:
    def sign(self, packed, key=KEY):
        return signing.sign(packed.digest, "k1", key, signer="alice", timestamp="2026-01-02T03:04:05Z")

    def admit(self, packed, signature, **options):
        return packaging.admit(packed.path, signature=signature, keys={"k1": KEY}, **options)

    def test_a_good_signature_names_its_signer(self, packed):
        admitted = self.admit(packed, self.sign(packed))
        assert admitted.signature is not None
        assert (admitted.signature.signer_identity, admitted.signature.verified, admitted.warnings) == ("alice", True, ())

    def test_by_default_an_unsigned_component_is_refused(self, packed):
        assert kind(self.admit, packed, None) == "unsigned"
        assert self.admit(packed, None, policy=packaging.Policy.WARN).warnings
        assert self.admit(packed, None, policy=packaging.Policy.ALLOW).warnings == ()

    @given(st.data())
    def test_no_byte_of_a_signature_can_be_changed(self, data):
        digest = "sha256:" + "0" * 64
        good = signing.sign(digest, "k1", KEY, signer="alice", timestamp="2026-01-02T03:04:05Z")
        at = data.draw(st.integers(0, len(good) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != good[at]))
        bad = good[:at] + bytes([byte]) + good[at + 1 :]
        record, refused = attempt(signing.verify, bad, digest, {"k1": KEY}, where="here")
        if refused is None:  # white space, or an escape, of the same meaning
            assert json.loads(bad) == json.loads(good)
            assert record.signer_identity == "alice"
        else:
            assert refused == "bad-signature"

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_record_or_refused(self, raw):
        assert attempt(signing.read_record, raw)[1] in {None, "bad-signature"}

    def test_a_record_keeps_to_its_methods_fields(self):
        record = signing.SignatureRecord("Unsigned", {"key_id": "k1"}, "alice", "now", verified=False)
        assert kind(signing.write_record, record) == "bad-signature"
        assert kind(signing.read_record, b'{"method": ["Unsigned"]}') == "bad-signature"


def test_what_a_removed_reference_needed_alone_goes_with_it(tmp_path):
    cache = packaging.Cache(tmp_path / "cache")
    shared = b'{"shared": true}'
    for name in ("one", "two"):
        wasm = b"\x00asm\x0d\x00\x01\x00" + name.encode()
        artifact = packaging.assemble([(wasm, "wasm", "component.wasm"), (shared, "x", "x")], config={"name": name})
        for descriptor in parse_manifest(artifact.manifest, where="here").descriptors:
            cache.store_blob([artifact.blobs[descriptor.digest]], descriptor, where="here")
        cache.store_manifest(packaging.parse_oci(f"r.example/{name}:1"), artifact.manifest)
    held = len(list(cache.root.rglob("blobs/sha256/*")))
    assert cache.remove(packaging.parse_oci("r.example/one:1"))
    assert len(list(cache.root.rglob("blobs/sha256/*"))) == held - 3  # manifest, configuration and component; not what both share
    assert cache.blob(packaging.digest_of(shared)) == shared
