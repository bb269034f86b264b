"""The direct engine: components run as core modules, with the canonical ABI in generated Python (ADR-022).

wasmtime's component API converts a list<u8> one Python object per byte. Here bytes move by memory copies, and everything else is
generated code over wasmtime's public core API. `reader` reads the binary, `plan` decides what an instance takes, `codegen` and `glue` make
the code of the border, `bound` puts it into a store.
"""

from torvyn_ref.engine.direct.engine import DirectCompiled as DirectCompiled
from torvyn_ref.engine.direct.engine import DirectEngine as DirectEngine
