"""Resolution from disk: files, names, layouts, archives; and the cache's own promises."""

import gzip
import io
import json
import os
import stat
import tarfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from torvyn_ref import config, packaging
from torvyn_ref.errors import TorvynError
from torvyn_ref.packaging.artifact import IMAGE_MANIFEST, WASM_TYPE, Descriptor
from torvyn_ref.packaging.provenance import statement

WASM = b"\x00asm\x0d\x00\x01\x00"
OTHER = WASM + b"\x00\x03\x01nx"


def artifact(wasm=WASM, note="a"):
    return packaging.assemble([(wasm, WASM_TYPE, "component.wasm")], config={}, annotations={"note": note})


def resolve(text, base, **options):
    return packaging.resolve(text, base_dir=base, **options)


def refusal(text, base, **options):
    with pytest.raises(TorvynError) as raised:
        resolve(text, base, **options)
    assert raised.value.subsystem == "packaging"
    return raised.value


def attempt(call, *arguments):
    """What a call returned, and the typed error it raised instead; anything else it raises is a failure."""
    try:
        return call(*arguments), None
    except TorvynError as error:
        return None, error


def archive(entries, *, links=()):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in entries:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return gzip.compress(plain.getvalue(), mtime=0)


RECORD = packaging.BuildRecord("2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z")
COMPLETE = (
    ("component.wasm", WASM),
    ("Torvyn.toml", b"[torvyn]\n"),
    ("wit/a.wit", b"package a:b;\n"),
    ("provenance.json", statement(WASM, RECORD, {})),
)


class TestFiles:
    @pytest.mark.parametrize("form", ["a.wasm", "./a.wasm", "file://a.wasm", "file://./a.wasm", "file://{base}/a.wasm", "{base}/a.wasm"])
    def test_a_file_is_found_from_the_manifests_directory(self, tmp_path, form):
        (tmp_path / "a.wasm").write_bytes(WASM)
        found = resolve(form.format(base=tmp_path), tmp_path)
        assert (found.wasm, found.digest, found.size) == (WASM, packaging.digest_of(WASM), 8)

    def test_a_missing_file_is_not_found(self, tmp_path):
        error = refusal("a.wasm", tmp_path)
        assert (error.kind, error.where) == ("not-found", str(tmp_path / "a.wasm"))

    @pytest.mark.parametrize("content", [b"", WASM[:7], b"\x00asm\x01\x00\x00\x00", b"hello there"])
    def test_a_file_that_is_no_component_is_refused(self, tmp_path, content):
        (tmp_path / "a.wasm").write_bytes(content)
        assert refusal("a.wasm", tmp_path).kind == "not-a-component"

    def test_a_file_beyond_the_limit_is_refused(self, tmp_path):
        (tmp_path / "a.wasm").write_bytes(WASM + b"x")
        assert refusal("a.wasm", tmp_path, limits=packaging.Limits(component=8)).kind == "too-large"

    def test_a_pipe_is_refused_without_waiting(self, tmp_path):
        os.mkfifo(tmp_path / "a.wasm")
        assert refusal("a.wasm", tmp_path).kind == "unreadable"


class TestNames:
    def test_a_name_leads_to_its_component(self, tmp_path):
        (tmp_path / "a.wasm").write_bytes(WASM)
        assert resolve("up", tmp_path, components={"up": "file://a.wasm"}).wasm == WASM

    def test_an_unknown_name_is_not_found(self, tmp_path):
        error = refusal("up", tmp_path, components={"down": "file://a.wasm"})
        assert (error.kind, error.hint) == ("not-found", "components: down")

    def test_a_name_must_not_lead_to_a_name(self, tmp_path):
        assert refusal("a", tmp_path, components={"a": "b", "b": "a"}).kind == "invalid-reference"

    def test_a_project_names_its_components_sources(self, tmp_path):
        (tmp_path / "Torvyn.toml").write_text(
            "[torvyn]\nname = 'p'\nversion = '0.1.0'\ncontract_version = '0.1.0'\n"
            "[[component]]\nname = 'a'\npath = 'a.wasm'\n[[component]]\nname = 'b'\nreference = 'oci://r/b:1'\n"
        )
        (tmp_path / "a.wasm").write_bytes(WASM)
        project = config.load(tmp_path, environment={})
        sources = project.component_sources()
        assert sources == {"a": "file://a.wasm", "b": "oci://r/b:1"}
        assert resolve("a", project.root, components=sources).wasm == WASM
        assert refusal("b", project.root, components=sources, offline=True).kind == "not-found"


class TestBuilds:
    def build(self, folder, *names):
        (folder / "target/torvyn").mkdir(parents=True, exist_ok=True)
        for name, wasm in names:
            (folder / "target/torvyn" / f"{name}.torvyn").write_bytes(archive((("component.wasm", wasm), ("Torvyn.toml", b""))))

    def test_the_highest_version_of_exactly_this_component_wins(self, tmp_path):
        self.build(
            tmp_path / "foo",
            ("foo-1.9.0", WASM),
            ("foo-1.10.0", OTHER),
            ("foo-1.10.0-rc.2", WASM),
            ("foobar-9.0.0", WASM),
            ("foo-bar-9.0.0", WASM),
        )
        found = resolve("foo", tmp_path, components={"foo": "file://foo"})
        assert (found.wasm, Path(found.origin).name) == (OTHER, "foo-1.10.0.torvyn")

    def test_a_pre_release_loses_against_its_release_and_orders_by_number(self, tmp_path):
        self.build(
            tmp_path / "foo", ("foo-1.0.0-rc.9", WASM), ("foo-1.0.0-rc.10", OTHER), ("foo-1.0.0-alpha", WASM), ("foo-1.0.0-rc", WASM)
        )
        assert resolve("foo", tmp_path, components={"foo": "file://foo"}).wasm == OTHER

    def test_the_projects_builds_serve_when_the_component_has_none(self, tmp_path):
        (tmp_path / "foo").mkdir()
        self.build(tmp_path, ("foo-1.0.0", OTHER), ("bar-2.0.0", WASM))
        assert resolve("foo", tmp_path, components={"foo": "file://foo"}).wasm == OTHER

    def test_a_directory_without_a_build_is_not_found(self, tmp_path):
        (tmp_path / "foo").mkdir()
        assert refusal("file://./foo", tmp_path).kind == "not-found"

    def test_a_directory_of_several_components_needs_a_name(self, tmp_path):
        self.build(tmp_path / "all", ("foo-1.0.0", WASM), ("bar-1.0.0", WASM))
        assert refusal("file://./all", tmp_path).kind == "invalid-reference"


class TestArchives:
    def test_a_complete_archive_gives_its_component(self, tmp_path):
        (tmp_path / "a.torvyn").write_bytes(archive(COMPLETE))
        assert resolve("a.torvyn", tmp_path).wasm == WASM
        assert set(packaging.read_archive(tmp_path / "a.torvyn")) == {name for name, _ in COMPLETE}

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"hello",
            gzip.compress(b"no tar"),
            archive(COMPLETE)[:-20],
            archive(COMPLETE[1:]),
            archive(COMPLETE[:1]),
            archive((*COMPLETE, COMPLETE[0])),
            archive((*COMPLETE, ("wit/../../x", b"x"))),
            archive((*COMPLETE, ("/etc/x", b"x"))),
            archive(COMPLETE, links=[("wit/link", "/etc/passwd")]),
            archive((*COMPLETE[:3], ("provenance.json", b"{"))),
            archive((*COMPLETE, *((f"wit/{n}.wit", b"") for n in range(1000)))),
        ],
        ids=[
            "empty",
            "no gzip",
            "no tar",
            "truncated",
            "no wasm",
            "no manifest",
            "duplicate",
            "escaping",
            "absolute",
            "link",
            "provenance",
            "many",
        ],
    )
    def test_a_broken_archive_is_refused(self, tmp_path, raw):
        (tmp_path / "a.torvyn").write_bytes(raw)
        assert refusal("a.torvyn", tmp_path).kind == "corrupt-artifact"

    def test_an_archive_that_unpacks_without_end_is_refused(self, tmp_path):
        (tmp_path / "a.torvyn").write_bytes(gzip.compress(bytes(3_000_000)))
        limits = packaging.Limits(component=1_000_000, other_blob=1_000_000)
        assert refusal("a.torvyn", tmp_path, limits=limits).kind == "too-large"

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(at=st.integers(0, 2047), change=st.integers(1, 255))
    def test_a_changed_header_gives_files_or_a_typed_error(self, tmp_path, at, change):
        plain = bytearray(gzip.decompress(archive(COMPLETE)))
        plain[at] ^= change
        (tmp_path / "a.torvyn").write_bytes(gzip.compress(bytes(plain)))
        files, error = attempt(packaging.read_archive, tmp_path / "a.torvyn")
        if error is not None:
            assert error.kind in {"corrupt-artifact", "not-a-component"}
        else:
            assert "component.wasm" in files


class TestLayouts:
    @pytest.fixture
    def layout(self, tmp_path):
        root = tmp_path / "layout"
        packaging.push_to_layout(root, artifact(WASM), "1.0.0")
        packaging.push_to_layout(root, artifact(OTHER), "2.0.0")
        return root

    def test_tags_and_digests_are_found(self, layout, tmp_path):
        one = artifact(WASM).digest
        assert resolve("oci-layout:layout:1.0.0", tmp_path).wasm == WASM
        assert resolve("oci-layout:layout:2.0.0", tmp_path).wasm == OTHER
        assert resolve(f"oci-layout:layout@{one}", tmp_path).artifact == one
        assert resolve(f"oci-layout:{layout}:2.0.0@{one}", tmp_path).wasm == WASM

    def test_without_a_tag_the_only_artifact_is_meant(self, tmp_path):
        packaging.push_to_layout(tmp_path / "one", artifact(WASM))
        for text in ("oci-layout:one", "file://./one", "file://one"):
            assert resolve(text, tmp_path).wasm == WASM

    def test_without_a_tag_several_artifacts_need_a_latest(self, layout, tmp_path):
        error = refusal("oci-layout:layout", tmp_path)
        assert (error.kind, error.hint) == ("not-found", "tags: 1.0.0, 2.0.0")
        packaging.push_to_layout(layout, artifact(OTHER), "latest")
        assert resolve("oci-layout:layout", tmp_path).wasm == OTHER

    def test_a_moved_tag_names_one_artifact(self, layout, tmp_path):
        packaging.push_to_layout(layout, artifact(OTHER), "1.0.0")
        assert resolve("oci-layout:layout:1.0.0", tmp_path).wasm == OTHER
        assert packaging.Layout(layout).tags == ("2.0.0", "1.0.0")

    def test_a_tag_is_not_moved_when_that_is_forbidden(self, layout, tmp_path):
        with pytest.raises(TorvynError) as raised:
            packaging.push_to_layout(layout, artifact(OTHER), "1.0.0", force=False)
        assert raised.value.kind == "tag-exists"
        packaging.push_to_layout(layout, artifact(WASM), "1.0.0", force=False)
        assert resolve("oci-layout:layout:1.0.0", tmp_path).wasm == WASM

    def test_an_untagged_push_keeps_every_tag(self, layout):
        packaging.push_to_layout(layout, artifact(WASM))
        packaging.push_to_layout(layout, artifact(WASM))
        assert packaging.Layout(layout).tags == ("1.0.0", "2.0.0")
        assert len(packaging.Layout(layout).entries) == 3

    @pytest.mark.parametrize("content", [WASM[:-1] + b"\x01", WASM[:4], OTHER], ids=["tampered", "truncated", "longer"])
    def test_a_changed_blob_is_refused(self, layout, tmp_path, content):
        blob = layout / "blobs/sha256" / packaging.digest_of(WASM).removeprefix("sha256:")
        blob.write_bytes(content)
        assert refusal("oci-layout:layout:1.0.0", tmp_path).kind in {"digest-mismatch", "size-mismatch"}

    def test_a_changed_manifest_is_refused(self, layout, tmp_path):
        made = artifact(WASM)
        blob = layout / "blobs/sha256" / made.digest.removeprefix("sha256:")
        blob.write_bytes(made.manifest.replace(b'"note":"a"', b'"note":"b"'))
        assert refusal("oci-layout:layout:1.0.0", tmp_path).kind == "digest-mismatch"

    def test_an_index_that_lies_about_the_manifests_size_is_refused(self, layout, tmp_path):
        index = json.loads((layout / "index.json").read_text())
        index["manifests"][0]["size"] += 1
        (layout / "index.json").write_text(json.dumps(index))
        assert refusal("oci-layout:layout:1.0.0", tmp_path).kind == "size-mismatch"

    def test_a_missing_blob_is_not_found(self, layout, tmp_path):
        (layout / "blobs/sha256" / packaging.digest_of(WASM).removeprefix("sha256:")).unlink()
        assert refusal("oci-layout:layout:1.0.0", tmp_path).kind == "not-found"

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("oci-layout", '{"imageLayoutVersion": "2.0.0"}'),
            ("oci-layout", ""),
            ("index.json", "[]"),
            ("index.json", '{"schemaVersion": 2}'),
            ("index.json", '{"schemaVersion": 2, "manifests": [{"digest": "sha256:../../../etc/passwd", "size": 1, "mediaType": "x"}]}'),
        ],
    )
    def test_a_malformed_layout_is_refused(self, layout, tmp_path, name, text):
        (layout / name).write_text(text)
        assert refusal("oci-layout:layout:1.0.0", tmp_path).kind == "invalid-layout"

    def test_what_is_no_layout_is_refused(self, tmp_path):
        (tmp_path / "empty").mkdir()
        assert refusal("oci-layout:none", tmp_path).kind == "not-found"
        assert refusal("oci-layout:empty", tmp_path).kind == "invalid-layout"

    def test_a_tag_on_two_manifests_is_refused(self, layout, tmp_path):
        index = json.loads((layout / "index.json").read_text())
        index["manifests"][1]["annotations"] = index["manifests"][0]["annotations"]
        (layout / "index.json").write_text(json.dumps(index))
        assert refusal("oci-layout:layout:1.0.0", tmp_path).kind == "invalid-layout"

    def test_writers_at_the_same_time_lose_nothing(self, tmp_path):
        made = [artifact(WASM, note=str(n)) for n in range(8)]
        start = threading.Barrier(len(made))

        def push(one, tag):
            start.wait()
            packaging.push_to_layout(tmp_path / "shared", one, tag)

        threads = [threading.Thread(target=push, args=(one, f"t{n}")) for n, one in enumerate(made)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(packaging.Layout(tmp_path / "shared").tags) == [f"t{n}" for n in range(8)]

    @settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5) | st.sampled_from([IMAGE_MANIFEST, packaging.digest_of(b""), 2]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["schemaVersion", "manifests", "mediaType", "digest", "size", "annotations"]), inner)
            ),
            max_leaves=10,
        )
    )
    @example({"schemaVersion": 2, "manifests": []})
    def test_whatever_an_index_says_only_typed_errors_come_out(self, tmp_path, data):
        root = tmp_path / "fuzzed"
        root.mkdir(exist_ok=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (root / "index.json").write_text(json.dumps(data))
        assert refusal("oci-layout:fuzzed:x", tmp_path).kind in {"invalid-layout", "not-found"}


class TestCache:
    reference = packaging.parse_oci("r.example/team/c:1.0.0")

    @pytest.fixture
    def cache(self, tmp_path):
        return packaging.Cache(tmp_path / "deep" / "cache")

    def fill(self, cache, made=None, reference=None):
        made = made or artifact()
        for digest, content in made.blobs.items():
            cache.store_blob([content], Descriptor("x", digest, len(content)), where="here")
        cache.store_manifest(reference or self.reference, made.manifest)
        return made

    def test_what_is_stored_is_found_and_private(self, cache, tmp_path):
        self.fill(cache)
        found = resolve("oci://r.example/team/c:1.0.0", tmp_path, cache=cache, offline=True)
        assert (found.wasm, found.cached) == (WASM, True)
        for path in (cache.root, *cache.root.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0

    def test_neighbouring_tags_do_not_collide(self, cache):
        one, two = artifact(WASM), artifact(OTHER)
        self.fill(cache, one, packaging.parse_oci("r.example/c:1.0.0"))
        self.fill(cache, two, packaging.parse_oci("r.example/c:1.0.1"))
        assert cache.manifest_of(packaging.parse_oci("r.example/c:1.0.0")) == one.manifest
        assert cache.manifest_of(packaging.parse_oci("r.example/c:1.0.1")) == two.manifest

    def test_a_digest_is_looked_up_by_the_digest_alone(self, cache):
        one = self.fill(cache)
        other = packaging.parse_oci(f"elsewhere.example/x:9@{one.digest}")
        assert cache.manifest_of(other) == one.manifest
        missing = packaging.parse_oci(f"r.example/team/c:1.0.0@sha256:{'0' * 64}")
        assert cache.manifest_of(missing) is None

    def test_a_manifest_of_another_digest_is_not_stored(self, cache):
        with pytest.raises(TorvynError) as raised:
            cache.store_manifest(packaging.parse_oci(f"r/c@sha256:{'0' * 64}"), b"{}")
        assert raised.value.kind == "digest-mismatch"
        assert not cache.root.exists()

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"reference": "r.example/other:1", "digest": "sha256:"}'])
    def test_a_corrupted_index_entry_is_removed(self, cache, content):
        self.fill(cache)
        (entry,) = (cache.root / "index").iterdir()
        entry.write_bytes(content)
        assert cache.manifest_of(self.reference) is None
        assert not entry.exists()

    def test_an_index_entry_that_points_elsewhere_serves_only_what_its_digest_names(self, cache):
        self.fill(cache)
        (entry,) = (cache.root / "index").iterdir()
        entry.write_text(json.dumps({"reference": self.reference.rendered(), "digest": "sha256:../../../etc/passwd"}))
        assert cache.manifest_of(self.reference) is None

    def test_an_index_entry_of_another_reference_is_not_believed(self, cache):
        self.fill(cache)
        (entry,) = (cache.root / "index").iterdir()
        other = packaging.parse_oci("r.example/team/c:2")
        self.fill(cache, artifact(OTHER), other)
        (moved,) = (path for path in (cache.root / "index").iterdir() if path != entry)
        moved.write_bytes(entry.read_bytes())
        assert cache.manifest_of(other) is None
        assert cache.manifest_of(self.reference) is not None

    def test_a_link_in_the_cache_is_not_followed(self, cache, tmp_path):
        made = self.fill(cache)
        blob = cache.root / "blobs/sha256" / made.digest.removeprefix("sha256:")
        outside = tmp_path / "outside"
        outside.write_bytes(made.manifest)
        blob.unlink()
        blob.symlink_to(outside)
        assert cache.manifest_of(self.reference) is None
        assert outside.exists()
        assert not blob.is_symlink()

    def test_chunks_that_break_off_leave_nothing(self, cache):
        def broken():
            yield b"x"
            raise ConnectionResetError

        with pytest.raises(TorvynError):
            cache.store_blob(broken(), Descriptor("x", packaging.digest_of(b"xy"), 2), where="here")
        assert [path for path in cache.root.rglob("*") if path.is_file()] == []

    def test_a_cache_that_cannot_be_written_is_a_typed_error(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(TorvynError) as raised:
            self.fill(packaging.Cache(tmp_path / "file" / "cache"))
        assert raised.value.kind == "cache-failed"

    def test_removing_forgets_one_reference_and_clearing_all(self, cache):
        self.fill(cache)
        other = packaging.parse_oci("r.example/team/c:2")
        self.fill(cache, artifact(OTHER), other)
        assert cache.remove(self.reference)
        assert not cache.remove(self.reference)
        assert cache.manifest_of(self.reference) is None
        assert cache.manifest_of(other) is not None
        cache.clear()
        assert not cache.root.exists()
        cache.clear()

    def test_readers_and_writers_at_the_same_time_see_whole_blobs(self, cache):
        content = bytes(range(256)) * 500
        descriptor = Descriptor.of(content, "x")
        start = threading.Barrier(6)
        seen = []

        def work(writes):
            start.wait()
            for _ in range(10):
                if writes:
                    cache.store_blob([content], descriptor, where="here")
                else:
                    seen.append(cache.blob(descriptor.digest))

        threads = [threading.Thread(target=work, args=(n % 2 == 0,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(seen) <= {None, content}
        assert cache.blob(descriptor.digest) == content

    def test_the_usual_place_follows_torvyn_home(self):
        assert packaging.default_root({"TORVYN_HOME": "/t", "HOME": "/h"}) == Path("/t/cache")
        assert packaging.default_root({"HOME": "/h"}) == Path("/h/.torvyn/cache")
