"""What of WASI is open, by the capabilities that a component has."""

import pytest

from torvyn_ref.security import CapabilitySet, Kind
from torvyn_ref.wasi.environment import Preopen, WasiEnvironment


def of(*held):
    return WasiEnvironment.of(CapabilitySet.of(held))


def test_nothing_is_open_by_default():
    assert of() == WasiEnvironment()


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.is_wasi and not kind.startswith("filesystem")])
def test_each_kind_turns_on_its_own_switch(kind):
    assert of(kind) == WasiEnvironment(frozenset({kind}))


def test_reading_and_writing_one_root_is_one_directory():
    found = of("filesystem:write:/data/", "filesystem:read:/data", "filesystem:read:/srv")
    assert found.preopens == (Preopen("/data", read=True, write=True), Preopen("/srv", read=True))


@pytest.mark.parametrize("own", ["torvyn:custom-metrics", "torvyn:resource-allocate", "torvyn:pool-access:small"])
def test_torvyns_own_capabilities_change_nothing(own):
    assert of(own, "clock:wall") == of("clock:wall")
