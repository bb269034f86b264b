"""Settings and fragments that several guests share."""

from corpus.components.wat import Choice

ERROR_KINDS = ("invalid-input", "unavailable", "internal", "deadline-exceeded", "fatal")

KIND = Choice("kind", "the error answered", "internal", ERROR_KINDS)

EMIT = """
      (call $drop-input (local.get $payload) (local.get $context))
      (if (i32.eqz (local.get $out)) (then (return (fail internal "the host refused a buffer"))))
      (call $emit (local.get $sequence) (local.get $timestamp)
        (local.get $content-type) (local.get $content-type-len) (local.get $out))"""
"""Ends the borrows and emits `$out` under the input's meta; the sequence number is the runtime's to overwrite."""

DROP_INPUT = "(call $drop-input (local.get $payload) (local.get $context))"

FORWARD = f"""
      (local.set $out (call $copy-of (local.get $payload))){EMIT}"""
"""Emits a copy of the input: the cheapest identity there is (D-42)."""


def configured_error(offset: int) -> str:
    """Return the retptr of the error `$config.kind` names, in an export whose error begins at `offset`."""
    return f'(call $fail-at (i32.const {offset}) (global.get $config.kind) (text "as configured"))'
