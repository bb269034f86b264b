"""A stream's push and pop, with and without changes of pressure."""

from __future__ import annotations

import time
from typing import ClassVar

from benchmarks.scenarios import ELEMENTS, STREAMS


class PushPop:
    """What 4096 elements cost on their way through a stream; at capacity 1 each one switches pressure on and off."""

    timer = time.process_time
    params: ClassVar = list(STREAMS)
    param_names: ClassVar = ["stream"]

    def time_4096_elements(self, stream: str) -> None:
        STREAMS[stream](ELEMENTS)
