"""Values of the configuration (CFG-005, CFG-006, CFG-014, CFG-015): sizes in every field, variables in every text."""

from __future__ import annotations

from hypothesis import strategies as st

from conformance.areas.configured import HEAD, Written, edge, flow, load, mistakes, shown
from conformance.checks import Budget, checks
from conformance.errors import Refused
from conformance.models.settings import interpolated, literal, size
from conformance.subjects.protocol import Facet
from conformance.subjects.session import Session

FIELD = "runtime.max_memory_per_component"
SIZE_FIELDS = (FIELD, "flow.main.nodes.a.max_memory", "capabilities.torvyn.max-buffer-size", "capabilities.torvyn.max-memory")
SIZES = (
    "1", "512", "1B", "1b", "64K", "64k", "64KiB", "64kib", "64KIB", "1M", "32m", "32MiB", "32mIb", "1G", "2GiB", "2gib", " 1 ", "1 KiB",
    "\t7\tM\t", "007", "0000000000000000000000001K", "18446744073709551615", "18014398509481983K", "17179869183G",
)  # fmt: skip
NO_SIZES = (
    "", " ", "K", "MiB", "1.5M", "1,5M", "-1", "-1K", "+1", "1MB", "1KB", "1GB", "1kB", "1T", "1TiB", "1 Ki B", "1Ki", "1 M i B", "1e3",
    "0x10", "1_000", "1 000", "18446744073709551616", "18014398509481984K", "17179869184GiB", "99999999999999999999999999", "1Mi", "1KK",
    "1bytes", "unlimited", "one",
)  # fmt: skip


def _value(session: Session, written: Written, key: str) -> object:
    """Return a wanted value; None when the project is refused."""
    try:
        return load(session, written, key).values.get(key)
    except Refused:
        return None


def _sized(key: str, text: str) -> Written:
    """Return a project with one size."""
    if key.startswith("flow."):
        more = f"max_memory = {literal(text)}"
        return Written(manifest=HEAD + flow("main", a=more))
    return Written(manifest=f"{key} = {literal(text)}\n" + HEAD + flow("main"))


@checks("CFG-005", facet=Facet.CONFIG, kind="machine")
def sizes_are_read_exactly(session: Session, budget: Budget) -> None:
    """Directed and drawn texts are the bytes that the grammar says, or refused."""

    def law(text: str) -> None:
        expected = size(text)
        if expected == 0:
            return  # whether nothing is enough is for the field to say
        written = _sized(FIELD, text)
        budget.expect_equal("CFG-005", _value(session, written, FIELD), expected, f"the size {text!r}", evidence=shown(written))

    for text in (*SIZES, *NO_SIZES):
        law(text)
    number = st.integers(1, 2**66).map(str) | st.integers(1, 4096).map(str)
    unit = st.sampled_from(("", "B", "K", "KiB", "M", "MiB", "G", "GiB", "k", "kib", "m", "mIB", "g", "gIb", "MB", "KB", "T", "Ki", "."))
    space = st.sampled_from(("", "", " ", "\t", "  "))
    whole = st.tuples(space, number, space, unit, space).map("".join)
    odd = st.text("0123456789KMGiBkmgb .-+_", max_size=8)
    budget.for_all(whole | odd, law, max_examples=80)


@checks("CFG-006", facet=Facet.CONFIG, kind="table")
def all_sizes_have_one_grammar(session: Session, budget: Budget) -> None:
    """Every size field reads every size alike, and refuses the same texts."""
    for key in SIZE_FIELDS:
        for text in (*SIZES, *NO_SIZES):
            written = _sized(key, text)
            found = _value(session, written, key)
            budget.expect_equal("CFG-006", found, size(text), f"the size {text!r} as {key}", evidence=shown(written))


ENVIRONMENT = {"ONE": "1", "TWO": "two words", "EMPTY": "", "NESTED": "${ONE}", "DOLLAR": "$ONE", "BRACE": "a}b", "lower_2": "low"}
TEMPLATES = (
    "", "plain", "${ONE}", "a${ONE}b", "${ONE}${TWO}", "${EMPTY}", "[${EMPTY}]", "${NESTED}", "${DOLLAR}", "${BRACE}}", "${}", "a${}b",
    "${",     "${ONE", "x${ONE}${TWO", "$ONE", "$$ONE", "$${ONE}", "${lower_2}", "$", "}", "${}${ONE}",
)  # fmt: skip
UNDEFINED = ("${MISSING}", "a${MISSING}b", "${ONE}${MISSING}", "${one}", "${ONE }", "${MISSING:-x}", "${MISSING-x}", "${ONE:-x}")


@checks("CFG-014", facet=Facet.CONFIG, kind="machine")
def variables_are_put_in(session: Session, budget: Budget) -> None:
    """Directed and drawn texts with variables become what the rule says; an undefined variable is an error."""
    key = "torvyn.description"

    def law(text: str) -> None:
        head = HEAD.replace(" }", f", description = {literal(text)} }}")
        written = Written(manifest=head + flow("main"), environment=ENVIRONMENT)
        expected = interpolated(text, ENVIRONMENT)
        found = _value(session, written, key)
        budget.expect_equal("CFG-014", found, expected, f"the text {text!r}", evidence=shown(written))

    for text in (*TEMPLATES, *UNDEFINED):
        law(text)
    pieces = ("${ONE}", "${TWO}", "${EMPTY}", "${NESTED}", "${MISSING}", "${", "}", "$", "{", "ONE", "${}", " ", "x")
    budget.for_all(st.lists(st.sampled_from(pieces), max_size=5).map("".join), law, max_examples=50)


WILD = 'x"]\n[runtime]\nworker_threads = 99\n# \\u0041'
"""A value that would be TOML if somebody let it."""


def _texts() -> dict[str, tuple[str, str, Written]]:
    """Return for each text field a value to give it through a variable, the same as reported, and the project."""
    var = '"${VALUE}"'
    component = f'[[component]]\nname = "x"\npath = "x.wasm"\nconfig = {var}\n'
    whole = HEAD + flow("main")
    found = {
        "torvyn.description": (WILD, Written(manifest=HEAD.replace(" }", f", description = {var} }}") + flow("main"))),
        "runtime.compilation_cache_dir": (WILD, Written(manifest=f"runtime.compilation_cache_dir = {var}\n" + whole)),
        "observability.tracing_endpoint": (WILD, Written(manifest=f"observability.tracing_endpoint = {var}\n" + whole)),
        "observability.metrics_endpoint": (WILD, Written(pipeline=f"observability.metrics_endpoint = {var}\n" + flow("main"))),
        "registry.default": (WILD, Written(manifest=f"registry.default = {var}\n" + whole)),
        "build.target": (WILD, Written(manifest=f"build.target = {var}\n" + whole)),
        "test.fixtures_dir": (WILD, Written(manifest=f"test.fixtures_dir = {var}\n" + whole)),
        "flow.main.description": (WILD, Written(manifest=HEAD + flow("main", f"description = {var}"))),
        "flow.main.nodes.a.config": (WILD, Written(manifest=HEAD + flow("main", a=f"config = {var}"))),
        "flow.main.nodes.b.config": (WILD, Written(manifest=HEAD + component + flow("main"), pipeline=flow("main", b=f"config = {var}"))),
        "flow.main.nodes.a.component": ("y.wasm", Written(manifest=HEAD + flow("main", component="${VALUE}"))),
        "runtime.scheduling.policy": ("priority", Written(manifest=f"runtime.scheduling.policy = {var}\n" + whole)),
        "security.default_capability_policy": ("allow-all", Written(user=f"security.default_capability_policy = {var}\n", manifest=whole)),
        "runtime.backpressure.backpressure_policy": (
            "drop-oldest",
            Written(manifest=f"runtime.backpressure.backpressure_policy = {var}\n" + whole),
        ),
        "torvyn.version": ("3.2.1", Written(manifest=HEAD.replace('version = "0.1.0"', f"version = {var}", 1) + flow("main"))),
    }
    return {key: (value, value, written) for key, (value, written) in found.items()}


@checks("CFG-015", facet=Facet.CONFIG, kind="table")
def variables_reach_every_text(session: Session, budget: Budget) -> None:
    """A variable in each text field of each file is put in, in lists and sizes, too; TOML inside a value changes nothing else."""
    for key, (value, expected, plain) in _texts().items():
        written = Written(plain.manifest, plain.pipeline, plain.user, {"VALUE": value})
        found = _value(session, written, key)
        budget.expect_equal("CFG-015", found, expected, f"a variable in {key}", evidence=shown(written))
        threads = _value(session, written, "runtime.worker_threads")
        budget.expect("CFG-015", threads != 99, f"a value in {key} set another key", expected="no change", found=threads)
        undefined = Written(plain.manifest, plain.pipeline, plain.user)
        refused = mistakes(session, undefined)
        message = f"an undefined variable in {key} was accepted"
        budget.expect("CFG-015", refused is not None, message, expected="a refusal", evidence=shown(undefined))
    listed = Written(
        manifest='security.grants.a.capabilities = ["clock:wall", "${VALUE}"]\n' + HEAD + flow("main"),
        environment={"VALUE": "random:crypto"},
    )
    key = "security.grants.a.capabilities"
    found = _value(session, listed, key)
    budget.expect_equal("CFG-015", found, ["clock:wall", "random:crypto"], "a variable in a list", evidence=shown(listed))
    sized = Written(manifest=f'{FIELD} = "${{VALUE}}MiB"\n' + HEAD + flow("main"), environment={"VALUE": "5"})
    budget.expect_equal("CFG-015", _value(session, sized, FIELD), 5 * 1024**2, "a variable in a size", evidence=shown(sized))
    ends = edge("main").replace('node = "a"', 'node = "${VALUE}"')
    wired = Written(manifest=HEAD + flow("main", edges=ends), environment={"VALUE": "a"})
    budget.expect("CFG-015", mistakes(session, wired) is None, "a variable in an edge was not put in", evidence=shown(wired))
