"""The handle table against a model: the canonical ABI's rules in their plainest form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torvyn_ref.engine.direct.errors import AbiTrap
from torvyn_ref.engine.direct.handles import HandleTable
from torvyn_ref.engine.direct.types import Resource

KINDS = (  # two of one name: identity is what counts
    Resource("a", "i", lent_tag=2, owned_tag=3),
    Resource("a"),
    Resource("b", "j", lent_tag=4),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["give", "borrow", "rep", "take", "drop", "glue", "lend", "end"]), st.integers(0, 6), st.integers(0, 2)),
    max_size=60,
)


@given(STEPS)
def test_it_does_what_the_model_does(steps):
    destroyed, expected_destroyed = [], []
    table = HandleTable({KINDS[0]: destroyed.append, KINDS[2]: destroyed.append})
    entries, free, lent, borrows = [None], [], set(), 0
    for rep, (step, index, which) in enumerate(steps):
        kind = KINDS[which]
        if step in {"give", "borrow"}:
            at = free.pop() if free else len(entries)
            entries[at : at + 1] = [(kind, rep, step == "give")]
            borrows += step == "borrow"
            assert (table.give if step == "give" else table.give_borrow)(rep, kind) == at
        elif step == "end":
            lent.clear()
            table.end_lends()
        else:
            entry = entries[index] if index < len(entries) else None
            by_glue = step == "glue"
            if by_glue:  # what glue does by itself, where the tag allows it, and the host's catching up
                step = "drop"
                by_glue = bool(kind.lent_tag) and table.tags[index] & ~1 == kind.lent_tag and index not in lent
            bad = entry is None or entry[0] is not kind or (step == "take" and (not entry[2] or index in lent))
            if step == "drop" and index in lent:
                continue  # a guest cannot drop while a call to the host runs
            if bad:
                with pytest.raises(AbiTrap):
                    getattr(table, step)(index, kind)
                continue
            if by_glue:
                table.tags[index] = 0
            answer = table.dropped([index]) if by_glue else getattr(table, step)(index, kind)
            if step == "lend":
                lent.add(index)
            if step in {"take", "drop"}:
                entries[index] = None
                free.append(index)
                borrows -= step == "drop" and not entry[2]
                if step == "drop" and entry[2] and which != 1:
                    expected_destroyed.append(entry[1])
            assert answer == (None if step == "drop" else entry[1])
        assert table.borrows == borrows
        tags = [0 if entry is None else entry[0].owned_tag if entry[2] else entry[0].lent_tag for entry in entries]
        assert table.tags[: len(tags)].tolist() == tags
        assert len(table) == sum(entry is not None for entry in entries)
    assert destroyed == expected_destroyed


def test_a_handle_of_another_type_is_told_by_both_names():
    table = HandleTable({})
    table.give(5, KINDS[0])
    with pytest.raises(AbiTrap, match="index 1 used with the wrong type, expected b but found a"):
        table.rep(1, KINDS[2])
