"""What a guest reads from its configuration text, and the `init` that reads it.

Every configurable guest takes `key=value,key=value`. The parser is generated from the settings, is bounded, and
answers `invalid-input` to anything else: a longer text, an unknown key, a number that is none or is too large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.components.wat.library import LITERALS, SETTINGS

MAXIMUM_CONFIG = 256


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, kept in the i64 global `$config.NAME`."""

    name: str
    meaning: str
    default: int
    maximum: int

    @property
    def range(self) -> str:
        """The values it takes, in words."""
        return f"0 to {self.maximum}"


@dataclass(frozen=True, slots=True)
class Text:
    """A short text, kept at the address `$config.NAME` with its length in `$config.NAME-len`."""

    name: str
    meaning: str
    default: str
    maximum: int = 63

    @property
    def range(self) -> str:
        """The values it takes, in words."""
        return f"at most {self.maximum} bytes, without comma and equals sign"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words, kept as its position in the i32 global `$config.NAME`."""

    name: str
    meaning: str
    default: str
    options: tuple[str, ...]

    @property
    def range(self) -> str:
        """The values it takes, in words."""
        return ", ".join(self.options)


Setting = Number | Text | Choice


def storage(settings: Sequence[Setting]) -> str:
    """Return the globals and data that hold the settings, set to their defaults."""
    lines: list[str] = []
    free = SETTINGS
    for setting in settings:
        match setting:
            case Number():
                lines.append(f"(global $config.{setting.name} (mut i64) (i64.const {setting.default}))")
            case Choice():
                position = setting.options.index(setting.default)
                lines.append(f"(global $config.{setting.name} (mut i32) (i32.const {position}))")
            case Text():
                lines.append(f"(global $config.{setting.name} i32 (i32.const {free}))")
                lines.append(f"(global $config.{setting.name}-len (mut i32) (i32.const {len(setting.default)}))")
                lines.append(f'(data (i32.const {free}) "{setting.default}")')
                free += setting.maximum + 1
    if free > LITERALS:
        raise ValueError(f"text settings need {free - SETTINGS} bytes; there are {LITERALS - SETTINGS}")
    return "".join(f"\n    {line}" for line in lines)


def init_body(settings: Sequence[Setting]) -> str:
    """Return the body of the `init` that reads these settings, and nothing else."""
    readers = "".join(_reader(setting) for setting in settings)
    known = ", ".join(setting.name for setting in settings)
    unknown = f"unknown key; known: {known}" if settings else "this component takes no configuration"
    return f"""
      (local $found i32) (local $number i64)
      (if (i32.gt_u (local.get $config-len) (i32.const {MAXIMUM_CONFIG}))
        (then (return (fail invalid-input "configuration longer than {MAXIMUM_CONFIG} bytes"))))
      (call $open-config (local.get $config) (local.get $config-len))
      (block $done (loop $more
        (local.set $found (call $next-pair))
        (br_if $done (i32.eqz (local.get $found)))
        (if (i32.eq (local.get $found) (i32.const 2))
          (then (return (fail invalid-input "expected key=value,key=value"))))
        {readers}
        (return (fail invalid-input "{unknown}"))))
      (call $ok (i32.const 0))"""


def _reader(setting: Setting) -> str:
    match setting:
        case Number(name=name, maximum=maximum):
            store = f"""
          (local.set $number (call $value-number (i64.const {maximum})))
          (if (i64.lt_s (local.get $number) (i64.const 0))
            (then (return (fail invalid-input "{name}: expected a whole number, at most {maximum}"))))
          (global.set $config.{name} (local.get $number))
          (br $more)"""
        case Text(name=name, maximum=maximum):
            store = f"""
          (if (i32.gt_u (global.get $value-len) (i32.const {maximum}))
            (then (return (fail invalid-input "{name}: longer than {maximum} bytes"))))
          (memory.copy (global.get $config.{name}) (global.get $value) (global.get $value-len))
          (global.set $config.{name}-len (global.get $value-len))
          (br $more)"""
        case Choice(name=name, options=options):
            branches = "".join(
                f"""
          (if (call $value-is (text "{option}"))
            (then (global.set $config.{name} (i32.const {position})) (br $more)))"""
                for position, option in enumerate(options)
            )
            store = f"""{branches}
          (return (fail invalid-input "{name}: expected one of {", ".join(options)}"))"""
    return f"""
        (if (call $key-is (text "{setting.name}")) (then{store}))"""
