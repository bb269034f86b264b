"""Guest components from hand-written core WebAssembly, with no tool but wasmtime.

`component(world, bodies)` wraps the text of a few core functions into a complete component of one of Torvyn's worlds:
it finds out which host functions and helpers the text calls, imports exactly those, lowers them, and lifts the
exports. Tests use it directly for guests that live for one test; the corpus is built from `Guest` values.

A body is the inside of one exported function. Its parameters are those of `exports.EXPORTS`, its helpers those of
`library.SNIPPETS`, and two macros spare it addresses: `(text "…")` stands for a literal's address and length,
`(fail KIND "…")` for the retptr of an error result.
"""

from corpus.components.wat.assemble import component as component
from corpus.components.wat.exports import EXPORTS as EXPORTS
from corpus.components.wat.exports import WORLDS as WORLDS
from corpus.components.wat.guest import Behaviour as Behaviour
from corpus.components.wat.guest import Guest as Guest
from corpus.components.wat.guest import Outcome as Outcome
from corpus.components.wat.settings import Choice as Choice
from corpus.components.wat.settings import Number as Number
from corpus.components.wat.settings import Text as Text
