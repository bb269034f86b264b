"""The compile cache gives back what it was given, or nothing; nothing that is wrong with it stops a compilation."""

import errno
import logging
import os
import stat
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from shutil import copytree

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wasmtime.component import Component

from torvyn_ref.engine import compilecache, compiler
from torvyn_ref.engine.compilecache import CompileCache, default_key_file
from torvyn_ref.engine.compiler import Compiler
from torvyn_ref.engine.stock import StockEngine

UPPERCASE = (Path(__file__).resolve().parents[3] / "corpus/components/uppercase.wasm").read_bytes()
TEXT = b'(module (func (export "f") (result i32) (i32.const 42)))'
ADD = b'(module (func (export "f") (result i32) (i32.const 43)))'


class Kit:
    """A cache directory with its key, caches as later runs would open them, and the files inside."""

    def __init__(self, root):
        self.root, self.key = root, root / "home/.torvyn/compile-cache.key"
        self.project = root / "project/.torvyn/cache"
        self.directory = self.project / "compiled"

    def cache(self, **options):
        return CompileCache(self.project, **{"key_file": self.key, **options})

    def entries(self):
        return sorted(self.directory.glob("*.cwasm"))

    def only(self):
        (entry,) = self.entries()
        return entry


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


@pytest.fixture(scope="session")
def wasm_engine():
    return StockEngine(threaded=False).wasm_engine


@pytest.fixture
def run(kit, wasm_engine):
    """Compile as a run of its own would: with empty memory. Returns the cache, to see what it found."""

    def run(wasm=TEXT, *, engine=wasm_engine, **options):
        cache = kit.cache(**options)
        made = Compiler(engine, cache).module(wasm)
        store = wasmtime.Store(engine)
        store.set_fuel(1000)
        store.set_epoch_deadline(1)
        with_value = wasmtime.Instance(store, made, []).exports(store)["f"]
        assert with_value(store) == {TEXT: 42, ADD: 43}[wasm], "whatever the cache is like, the code is that of the bytes"
        return cache

    return run


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ---- what it is for


def test_what_one_run_compiled_the_next_one_finds(run, kit, caplog):
    first, second = run(), run()
    assert (first.hits, first.misses) == (0, 1)
    assert (second.hits, second.misses) == (1, 0)
    assert len(kit.entries()) == 1
    assert told(caplog) == []


def test_a_component_found_is_neither_compiled_nor_validated_again(kit, wasm_engine, monkeypatch):
    Compiler(wasm_engine, kit.cache()).component(UPPERCASE)

    def refuse(*_):
        raise AssertionError("compiled again")

    monkeypatch.setattr(Component, "__init__", refuse)
    found = Compiler(wasm_engine, kit.cache()).component(UPPERCASE)
    assert list(found.type.exports(wasm_engine)) == ["torvyn:streaming/processor@0.1.0"]


def test_the_same_bytes_are_compiled_once_in_a_process(wasm_engine, kit):
    cache = kit.cache()
    compiler_ = Compiler(wasm_engine, cache)
    assert compiler_.module(TEXT) is compiler_.module(bytes(bytearray(TEXT)))
    assert cache.misses == 1
    assert compiler_.component(UPPERCASE) is compiler_.component(UPPERCASE)
    compiler_.forget()
    compiler_.module(TEXT)
    assert cache.hits == 1


def test_memory_holds_what_was_used_last(wasm_engine):
    compiler_ = Compiler(wasm_engine, memo_bytes=2 * 65536 + 8 * len(TEXT))
    first, second = compiler_.module(TEXT), compiler_.module(ADD)
    assert compiler_.module(TEXT) is first
    third = compiler_.module(b"(module)")
    assert compiler_.module(TEXT) is first
    assert compiler_.module(b"(module)") is third
    assert compiler_.module(ADD) is not second


def test_invalid_bytes_are_wasmtimes_to_refuse_and_leave_nothing(kit, wasm_engine):
    for _ in range(2):
        with pytest.raises(wasmtime.WasmtimeError):
            Compiler(wasm_engine, kit.cache()).component(UPPERCASE[:-1])
    assert kit.entries() == []


def test_a_module_and_a_component_of_the_same_bytes_are_not_confused(kit, wasm_engine, caplog):
    Compiler(wasm_engine, kit.cache()).component(b"(component)")
    with pytest.raises(wasmtime.WasmtimeError):
        Compiler(wasm_engine, kit.cache()).module(b"(component)")
    assert len(kit.entries()) == 1
    assert told(caplog) == []


# ---- what an entry depends on


@pytest.mark.parametrize(
    ("option", "value"), [("consume_fuel", False), ("cranelift_opt_level", "none"), ("memory_reservation", 0), ("wasm_threads", False)]
)
def test_another_configuration_has_entries_of_its_own(kit, option, value):
    caches = []
    for changed in (False, True, False, True):
        config = wasmtime.Config()
        config.consume_fuel = True
        if changed:
            setattr(config, option, value)
        caches.append(kit.cache())
        Compiler(wasmtime.Engine(config), caches[-1]).module(TEXT)
    assert [cache.hits for cache in caches] == [0, 0, 1, 1]
    assert len(kit.entries()) == 2


def test_another_release_of_wasmtime_has_entries_of_its_own(run, kit, monkeypatch):
    run()
    monkeypatch.setattr(compiler, "version", lambda _: "50.0.2")
    assert run().hits == 0
    assert len(kit.entries()) == 2


def test_an_authentic_artifact_of_another_engine_is_refused_by_wasmtime_and_replaced(run, kit, caplog):
    run()
    name = kit.only().stem
    kit.cache().store(name, wasmtime.Module(wasmtime.Engine(), TEXT).serialize())
    run()
    (message,) = told(caplog)
    assert "was refused by wasmtime" in message
    assert name in message
    assert run().hits == 1


# ---- tampering


def test_the_key_does_not_lie_with_what_it_signs(run, kit):
    run()
    assert kit.key.is_file()
    assert [path.suffix for path in kit.root.joinpath("project").rglob("*") if path.is_file()] == [".cwasm"]


def test_only_the_user_can_read_what_is_made_whatever_the_umask(run, kit):
    before = os.umask(0)
    try:
        run()
    finally:
        os.umask(before)
    mode = {path: stat.S_IMODE(path.stat().st_mode) for path in kit.root.rglob("*")}
    assert {mode[path] for path in mode if path.is_dir()} == {0o700}
    assert {mode[path] for path in mode if path.is_file()} == {0o600}


@pytest.fixture
def untouchable(monkeypatch):
    """Fail when wasmtime is given machine code to read."""

    def refuse(*_):
        raise AssertionError("wasmtime was given bytes that nobody vouches for")

    monkeypatch.setattr(wasmtime.Module, "deserialize", refuse)


def damage(entry, how):
    content = entry.read_bytes()
    match how:
        case "a byte of the code":
            entry.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "a byte of the signature":
            at = compilecache._HEADER - 1
            entry.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        case "cut short":
            entry.write_bytes(content[: len(content) // 2])
        case "cut in the header":
            entry.write_bytes(content[:20])
        case "empty":
            entry.write_bytes(b"")
        case "longer":
            entry.write_bytes(content + b"\0")
        case "bare code":
            entry.write_bytes(content[compilecache._HEADER :])
        case "a symbolic link":
            entry.rename(entry.parent / "elsewhere")
            entry.symlink_to(entry.parent / "elsewhere")
        case "writable by all":
            entry.chmod(0o666)
        case "writable by the group":
            entry.chmod(0o660)
        case "a pipe":
            entry.unlink()
            os.mkfifo(entry, 0o600)
            return os.fdopen(os.open(entry, os.O_RDWR | os.O_NONBLOCK), "r+b", buffering=0)  # somebody holds it open and says nothing
    return nullcontext()


@pytest.mark.parametrize(
    "how",
    [
        "a byte of the code",
        "a byte of the signature",
        "cut short",
        "cut in the header",
        "empty",
        "longer",
        "bare code",
        "a symbolic link",
        "writable by all",
        "writable by the group",
        "a pipe",
    ],
)
def test_a_damaged_entry_never_reaches_wasmtime_and_is_replaced(run, kit, caplog, untouchable, monkeypatch, how):
    run()
    with damage(kit.only(), how):
        assert run().hits == 0
    (message,) = told(caplog)
    assert str(kit.only()) in message
    assert kit.only().is_file()
    assert not kit.only().is_symlink()
    monkeypatch.undo()
    assert run().hits == 1


def test_an_entry_cannot_take_the_place_of_another(run, kit, untouchable, caplog):
    run(TEXT)
    other = kit.only()
    run(ADD)
    (entry,) = set(kit.entries()) - {other}
    entry.write_bytes(other.read_bytes())
    run(ADD)
    assert len(told(caplog)) == 1


def test_a_project_that_brings_its_own_cache_and_signs_it_is_not_believed(run, kit, untouchable, tmp_path, caplog):
    run(key_file=tmp_path / "attacker.key")
    copytree(kit.directory, tmp_path / "seen")  # as an archive would, permissions and all
    assert run().hits == 0
    assert kit.only().read_bytes() != (tmp_path / "seen" / kit.only().name).read_bytes()
    assert told(caplog) == [], "a key is new on every machine: nothing to worry about"


def test_a_new_key_makes_new_entries(run, kit, untouchable):
    run()
    kit.key.write_bytes(bytes(32))
    assert run().hits == 0


CONTENT = b"what wasmtime wrote" * 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(data=st.data())
def test_whatever_a_file_was_made_into_it_yields_what_was_stored_or_nothing(kit, data):
    kit.cache().store("a1", CONTENT)
    whole = kit.only().read_bytes()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2), label="replaced"))
    changed = whole[:start] + data.draw(st.binary(max_size=end - start + 3), label="by") + whole[end:]
    kit.only().write_bytes(changed)
    assert kit.cache().load("a1") == (CONTENT if changed == whole else None)


# ---- trouble with the directory or the key


def make_trouble(kit, kind, monkeypatch):
    kit.directory.mkdir(parents=True, mode=0o700)
    kit.key.parent.mkdir(parents=True, mode=0o700)
    match kind:
        case "directory writable by others":
            kit.directory.chmod(0o777)
        case "directory is a link":
            kit.directory.rmdir()
            kit.root.joinpath("target").mkdir(mode=0o700)
            kit.directory.symlink_to(kit.root / "target")
        case "directory is a file":
            kit.directory.rmdir()
            kit.directory.write_bytes(b"")
        case "directory cannot be made":
            kit.directory.rmdir()
            kit.project.rmdir()
            kit.project.write_bytes(b"")
        case "everything belongs to somebody else":
            monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        case "key readable by others":
            kit.key.write_bytes(bytes(32))
            kit.key.chmod(0o640)
        case "key cut short":
            kit.key.write_bytes(bytes(31))
            kit.key.chmod(0o600)
        case "key is a link":
            kit.key.symlink_to("/dev/zero")
        case "key is a directory":
            kit.key.mkdir(mode=0o700)
        case "key cannot be made":
            kit.key.parent.rmdir()
            kit.key.parent.write_bytes(b"")
        case "a path that is none":
            kit.key = Path("a\0b")


@pytest.mark.parametrize(
    "kind",
    [
        "directory writable by others",
        "directory is a link",
        "directory is a file",
        "directory cannot be made",
        "everything belongs to somebody else",
        "key readable by others",
        "key cut short",
        "key is a link",
        "key is a directory",
        "key cannot be made",
        "a path that is none",
    ],
)
def test_trouble_is_told_once_and_stops_nothing(kit, wasm_engine, caplog, monkeypatch, kind):
    make_trouble(kit, kind, monkeypatch)
    cache = kit.cache()
    compiler_ = Compiler(wasm_engine, cache)
    compiler_.module(TEXT)
    compiler_.module(ADD)
    compiler_.component(UPPERCASE)
    (message,) = told(caplog)
    assert message.startswith("compiled code is not cached: ")
    assert cache.hits == 0
    assert [path for path in kit.root.rglob("*") if path.suffix == ".cwasm" or path.name.startswith(".partial")] == []


def read_only(monkeypatch):
    """Make every file system one without writing: the tests may run as root, whom permissions do not stop."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, *rest, **more: (refuse if flags & os.O_CREAT else real)(path, flags, *rest, **more))
    for name in ("unlink", "rename", "utime", "mkdir", "link"):
        monkeypatch.setattr(os, name, refuse)


def test_a_directory_without_writing_is_read(run, kit, monkeypatch, caplog):
    run()
    read_only(monkeypatch)
    assert run().hits == 1
    assert told(caplog) == []
    cache = run(ADD)
    assert cache.hits == 0
    (message,) = told(caplog)
    assert "Read-only file system" in message
    assert cache.load(kit.only().stem) is not None, "what cannot be written to can still be read"


def test_a_damaged_entry_that_cannot_be_removed_is_still_not_used(run, kit, monkeypatch, untouchable, caplog):
    run()
    damage(kit.only(), "cut short")
    read_only(monkeypatch)
    assert run().hits == 0
    (message,) = told(caplog)
    assert str(kit.only()) in message


def test_a_directory_where_an_entry_belongs_is_told_once(run, kit, caplog):
    run()
    entry = kit.only()
    entry.unlink()
    entry.mkdir(mode=0o700)
    assert run().hits == 0
    (message,) = told(caplog)
    assert str(entry) in message


def test_a_full_disk_leaves_no_piece_of_an_entry_and_is_not_tried_again(run, kit, monkeypatch, caplog):
    run()
    tried = []

    def full(*names, **_):
        tried.append(names)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", full)
    cache = run(ADD)
    cache.store("another", b"")
    assert len(tried) == 1
    assert len(told(caplog)) == 1
    assert list(kit.directory.iterdir()) == [kit.only()]


# ---- room


def age(kit, **mtimes):
    for name, seconds in mtimes.items():
        os.utime(kit.directory / f"{name}.cwasm", (seconds, seconds))


def names(kit):
    return [entry.stem for entry in kit.entries()]


def sized(size):
    return bytes(size - compilecache._HEADER)


def test_the_least_recently_used_entries_make_room(kit):
    cache = kit.cache(max_bytes=1000)
    for name in "abcd":
        cache.store(name, sized(250))
    assert names(kit) == ["a", "b", "c", "d"]
    age(kit, a=1000, b=2000, c=3000, d=4000)
    assert cache.load("a") is not None
    cache.store("e", sized(250))
    assert names(kit) == ["a", "d", "e"], "b and c were not used for longest; a quarter is left free"


def test_a_later_run_keeps_to_its_bound_from_the_first_entry_on(kit):
    for name in "abcd":
        kit.cache().store(name, sized(250))
    age(kit, a=1000, b=2000, c=3000, d=4000)
    kit.cache(max_bytes=500).store("e", sized(250))
    assert names(kit) == ["e"]


def test_a_clock_that_was_ahead_does_not_cost_the_entry_just_written(kit):
    for name in "ab":
        kit.cache().store(name, sized(250))
    age(kit, a=2**33, b=2**33 + 1)
    kit.cache(max_bytes=500).store("e", sized(250))
    assert names(kit) == ["e"]


def test_what_others_write_is_noticed(kit):
    cache = kit.cache(max_bytes=100_000)
    cache.store("mine", sized(100))
    for number in range(1100):
        kit.directory.joinpath(f"their{number}.cwasm").write_bytes(bytes(100))
    age(kit, **{f"their{number}": 1000 + number for number in range(1100)})
    for _ in range(compilecache._LOOK_AGAIN):
        cache.store("mine", sized(100))
    assert sum(entry.stat().st_size for entry in kit.entries()) <= 100_000
    assert "mine" in names(kit)


def test_an_artifact_larger_than_the_cache_is_not_kept(kit, caplog):
    cache = kit.cache(max_bytes=1000)
    cache.store("a", sized(1001))
    assert not kit.directory.exists()
    cache.store("a", sized(1000))
    assert cache.load("a") == sized(1000)
    assert told(caplog) == []


def test_an_entry_larger_than_the_cache_is_not_read_whole(kit, caplog):
    kit.cache().store("a", bytes(100_000))
    os.truncate(kit.only(), 2**40)  # takes no room on the disk, but would in memory
    assert kit.cache(max_bytes=1000).load("a") is None
    assert "larger than the whole cache" in told(caplog)[0]


def test_making_room_takes_nothing_but_entries_and_what_died_half_written(kit):
    kit.cache().store("a", sized(600))
    for name in ("README", ".partial-dead", ".partial-alive", "cwasm"):
        kit.directory.joinpath(name).write_bytes(bytes(500))
    for name in ("README", ".partial-dead", "cwasm"):
        os.utime(kit.directory / name, (1000, 1000))
    age(kit, a=1000)
    kit.cache(max_bytes=1000).store("b", sized(600))
    assert sorted(path.name for path in kit.directory.iterdir()) == [".partial-alive", "README", "b.cwasm", "cwasm"]


# ---- at the same time


def hammer(project, key, seed):
    """Store and load the same names as everybody else; return how often something else came back than was stored."""
    cache = CompileCache(Path(project), key_file=Path(key), max_bytes=60_000)
    wrong = 0
    for turn in range(150):
        name = f"n{(turn * 7 + seed) % 23}"
        content = name.encode() * 1000
        if (turn + seed) % 3:
            cache.store(name, content)
        wrong += cache.load(name) not in {None, content}
    return wrong, cache._warned


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_number_of_runs_share_a_directory(kit, kind):
    pool = ThreadPoolExecutor(4) if kind == "threads" else ProcessPoolExecutor(3, mp_context=get_context("spawn"))
    with pool:
        results = list(pool.map(hammer, [kit.project] * 4, [kit.key] * 4, range(4)))
    assert results == [(0, False)] * 4
    assert [path for path in kit.directory.iterdir() if path.suffix != ".cwasm"] == []
    assert [path.name for path in kit.key.parent.iterdir()] == [kit.key.name]


def test_the_first_key_wins(kit, monkeypatch):
    late, early, make = kit.cache(), kit.cache(), CompileCache._make_key

    def overtaken(cache):
        monkeypatch.undo()
        early.store("b", b"y")  # another process, between the look and the leap
        make(cache)

    monkeypatch.setattr(CompileCache, "_make_key", overtaken)
    late.store("a", b"x")
    assert (kit.cache().load("a"), kit.cache().load("b")) == (b"x", b"y")
    assert [path.name for path in kit.key.parent.iterdir()] == [kit.key.name]


def test_a_directory_deleted_meanwhile_is_made_again(run, kit):
    cache = run()
    kit.only().unlink()
    kit.directory.rmdir()
    assert cache.load("a") is None
    cache.store("a", b"x")
    assert cache.load("a") == b"x"


def test_the_key_lies_with_the_user():
    assert default_key_file({"TORVYN_HOME": "/t", "HOME": "/h"}) == Path("/t/compile-cache.key")
    assert default_key_file({"HOME": "/h"}) == Path("/h/.torvyn/compile-cache.key")
