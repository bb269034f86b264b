"""Resolution (OCI-021 to OCI-023): where a component is looked for, which local build it is, and from where relative paths start."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from conformance.areas.publishing import entries
from conformance.areas.pulling import Puller, offer, reference
from conformance.areas.workshop import MANIFEST, Workshop, workshop
from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.models.artifacts import component, precedence, write_archive
from conformance.subjects.protocol import Facet
from conformance.subjects.registry import serve_registry
from conformance.subjects.session import Session

HEAD = 'torvyn = { name = "judged", version = "0.1.0", contract_version = "0.1.0" }\n'
BUILDS = "target/torvyn"


def _project(place: Workshop, components: dict[str, str], builds: dict[str, str] | None = None) -> Path:
    """Write a project with components by name and path, and local builds by file name and mark."""
    manifest = HEAD + "".join(f'[[component]]\nname = "{name}"\npath = "{path}"\n' for name, path in components.items())
    files = {"Torvyn.toml": manifest.encode()}
    for file, mark in (builds or {}).items():
        name, _, version = file.removesuffix(".torvyn").partition("-")
        toml = MANIFEST.replace('"tidy"', f'"{name}"').replace('"1.2.3"', f'"{version or "0.0.0"}"')
        files[f"{BUILDS}/{file}"] = write_archive(entries(toml, mark=mark))
    return place.project(files)


def _found(session: Session, text: str, project: Path, home: Path, *, offline: bool = True) -> tuple[str, str]:
    """Return which component a reference means, by its mark, and where it was found; refused twice when it is."""
    try:
        reply = session.packaging.resolve(text, project, home, offline=offline)
    except Refused:
        return "refused", "refused"
    return reply.wasm[11:].decode(errors="replace"), reply.origin


@checks("OCI-021", facet=Facet.PACKAGING, kind="example")
def components_are_looked_for_in_order(session: Session, budget: Budget) -> None:
    """A file that is there or not, a local build, a cached and a published component: each is found where the order says."""
    with workshop() as place, serve_registry() as registry:
        project = _project(place, {"tidy": ".", "bare": "."}, {"tidy-1.0.0.torvyn": "built", "gone.wasm-1.0.0.torvyn": "wrong"})
        (project / "here.wasm").write_bytes(component("file"))
        puller = Puller(session, project, place.folder("home"))
        offer(registry, "1", "cached")
        text = reference(registry, ":1")
        puller.pull(text)
        offer(registry, "1", "published")
        offer(registry, "2", "published")
        offer(registry, "latest", "published", repository="gone.wasm")
        cases = {
            "file://here.wasm": ("file", "file"),
            "here.wasm": ("file", "file"),
            "file://gone.wasm": ("refused", "refused"),
            f"file://{project}/tidy": ("refused", "refused"),
            "gone.wasm": ("refused", "refused"),
            "tidy": ("built", "local-build"),
            "bare": ("refused", "refused"),
            text: ("cached", "cache"),
            reference(registry, ":2"): ("published", "registry"),
            reference(registry, ":3"): ("refused", "refused"),
        }
        for asked, expected in cases.items():
            found = _found(session, asked, project, puller.home, offline=False)
            budget.expect_equal("OCI-021", found, expected, f"what {asked} means, and where it was found", evidence={"reference": asked})


@checks("OCI-022", facet=Facet.PACKAGING, kind="machine")
def local_builds_match_exactly(session: Session, budget: Budget) -> None:
    """Among builds of several names and versions the highest version of exactly this name is taken, and never for an oci reference."""

    def law(case: tuple[frozenset[str], frozenset[str]]) -> None:
        versions, noise = case
        builds = {f"tidy-{version}.torvyn": f"v{version}" for version in versions} | dict.fromkeys(noise, "wrong")
        with workshop() as place:
            project = _project(place, {"tidy": "."}, builds)
            home = place.folder("home")
            mark, _ = _found(session, "tidy", project, home)
            best = f"v{max(versions, key=precedence)}" if versions else "refused"
            budget.expect_equal("OCI-022", mark, best, "the build that is taken for `tidy`", evidence={"builds": sorted(builds)})

    law((frozenset({"1.2.0", "1.10.0", "1.9.9"}), frozenset({"tidybar-9.0.0.torvyn", "tidy-bar-9.9.9.torvyn", "tid-9.0.0.torvyn"})))
    law((frozenset({"2.0.0-rc.1", "2.0.0-rc.10", "2.0.0-alpha"}), frozenset({"Tidy-9.0.0.torvyn", "tidy-9.torvyn", "tidy-9.0.torvyn"})))
    law((frozenset({"2.0.0", "2.0.0-rc.1", "1.99.99"}), frozenset({"tidy.torvyn", "tidy-.torvyn", "tidy-latest.torvyn"})))
    law((frozenset(), frozenset({"tidybar-1.0.0.torvyn", "untidy-1.0.0.torvyn", "tidy-bar-1.0.0.torvyn"})))
    with workshop() as place, serve_registry() as registry:
        project = _project(place, {"tidy": "."}, {"tidy-1.0.0.torvyn": "built"})
        home = place.folder("home")
        for repository in ("tidy", "team/tidy"):
            text = reference(registry, ":1.0.0", repository=repository)
            absent, _ = _found(session, text, project, home, offline=False)
            budget.expect_equal("OCI-022", absent, "refused", f"{text}, which no registry has", evidence={"reference": text})
            offer(registry, "1.0.0", "published", repository=repository)
            found, _ = _found(session, text, project, home, offline=False)
            budget.expect_equal("OCI-022", found, "published", f"what {text} means", evidence={"reference": text})
    budget.for_all(st.tuples(_VERSIONS, _NOISE), law, max_examples=12)


_NUMBER = st.integers(0, 12).map(str)
_PRE = st.lists(st.sampled_from(("0", "2", "10", "alpha", "beta", "rc")), min_size=1, max_size=3).map(".".join)
_VERSION = st.builds(
    lambda core, pre: f"{core}-{pre}" if pre else core, st.lists(_NUMBER, min_size=3, max_size=3).map(".".join), st.just("") | _PRE
)
_VERSIONS = st.frozensets(_VERSION, max_size=5)
_NOISE = st.frozensets(
    st.builds("{}-{}.torvyn".format, st.sampled_from(("tidybar", "tidy-bar", "untidy", "tid", "tidy_", "Tidy")), _VERSION), max_size=4
)


@checks("OCI-023", facet=Facet.PACKAGING, kind="example")
def relative_paths_start_at_the_manifest(session: Session, budget: Budget) -> None:
    """Relative paths of every form are found from the manifest's directory, wherever the subject runs."""
    with workshop() as place:
        project = _project(place, {"near": "parts/near.wasm", "up": "../shared.wasm"})
        (project / "parts").mkdir()
        (project / "parts" / "near.wasm").write_bytes(component("near"))
        (project / "top.wasm").write_bytes(component("top"))
        (project / "packed.torvyn").write_bytes(write_archive(entries(MANIFEST, mark="packed")))
        (project.parent / "shared.wasm").write_bytes(component("shared"))
        home = place.folder("home")
        cases = {
            "file://./top.wasm": "top",
            "file://top.wasm": "top",
            "top.wasm": "top",
            "./top.wasm": "top",
            "parts/near.wasm": "near",
            "file://./parts/../top.wasm": "top",
            "./packed.torvyn": "packed",
            "file://packed.torvyn": "packed",
            "near": "near",
            "up": "shared",
            f"file://{project}/top.wasm": "top",
        }
        for text, mark in cases.items():
            found, _ = _found(session, text, project, home)
            budget.expect_equal(
                "OCI-023", found, mark, f"what {text} means", evidence={"reference": text, "manifest in": "another directory"}
            )
