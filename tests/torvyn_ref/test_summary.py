import pytest

from torvyn_ref.summary import size
from torvyn_ref.terminal import plain


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (3 * 1024**2, "3.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (2048 * 1024**3, "2048.0 GiB"),
    ],
)
def test_sizes_are_read_with_their_unit(number, text):
    assert size(number) == text


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain words, äöü → 中", "plain words, äöü → 中"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("[bold]no markup[/] :smile:", "[bold]no markup[/] :smile:"),
        ("\u202eturned", "\\u202eturned"),
    ],
)
def test_words_from_outside_do_nothing_to_a_terminal(said, shown):
    assert plain(said) == shown


def test_words_from_outside_are_bounded():
    assert plain("x" * 1_000_000) == "x" * 2000 + "… (1000000 characters)"
