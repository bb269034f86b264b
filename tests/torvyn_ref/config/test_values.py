import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from torvyn_ref.config.suggest import edit_distance, nearest
from torvyn_ref.config.values import U64_MAX, parse_size

UNITS = {"": 0, "b": 0, "k": 1, "kib": 1, "m": 2, "mib": 2, "g": 3, "gib": 3}
words = st.text("abc", max_size=7)


@given(
    st.integers(0, 2**70),
    st.sampled_from(sorted(UNITS)),
    st.tuples(*[st.text(" \t", max_size=2)] * 3),
    st.randoms(use_true_random=False),
)
def test_a_size_is_its_number_times_a_power_of_1024(number, unit, space, random):
    spelled = "".join(random.choice((letter.lower(), letter.upper())) for letter in unit)
    text = f"{space[0]}{number}{space[1]}{spelled}{space[2]}"
    expected = number * 1024 ** UNITS[unit]
    if expected > U64_MAX:
        with pytest.raises(ValueError, match="64 bits"):
            parse_size(text)
    else:
        assert parse_size(text) == expected


@given(st.text(st.sampled_from("0123456789bBkKmMgGiI .-+_e\n\u212a\u0661"), max_size=8))
def test_a_text_outside_the_grammar_is_refused(text):
    assume(not re.fullmatch(r"[ \n]*[0-9]+[ \n]*([kKmMgG]([iI][bB])?|[bB])?[ \n]*", text))
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_endless_digits_cost_nothing():
    with pytest.raises(ValueError, match="64 bits"):
        parse_size("9" * 100_000)
    assert parse_size("0" * 100_000 + "7K") == 7 * 1024


@given(words, words)
def test_distance_is_symmetric_and_zero_only_for_equal_words(left, right):
    assert edit_distance(left, right) == edit_distance(right, left)
    assert (edit_distance(left, right) == 0) == (left == right)
    assert abs(len(left) - len(right)) <= edit_distance(left, right) <= max(len(left), len(right))


def test_a_swap_of_neighbours_is_one_edit():
    assert edit_distance("mian", "main") == 1


@given(st.text("abcdef", min_size=1, max_size=9), st.lists(st.text("abcdef", min_size=1, max_size=9), max_size=6))
def test_a_suggestion_is_the_nearest_word_and_near_enough(word, known):
    allowed = max(1, len(word) // 3)
    distances = [edit_distance(word, one) for one in known]
    suggestion = nearest(word, known)
    if suggestion is None:
        assert all(distance > allowed for distance in distances)
    else:
        assert edit_distance(word, suggestion) == min(distances) <= allowed


def test_a_word_of_absurd_length_is_not_compared():
    assert nearest("x" * 100_000, ["x"]) is None
