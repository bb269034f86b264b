"""How much Hypothesis tries: the same few examples every time by default, many fresh ones under `HYPOTHESIS_PROFILE=deep` (`make deep`).

And Ctrl-C is heard by what the tests start, even when they run in the background of a shell, which lets its children ignore it.
"""

import os
import signal

from hypothesis import HealthCheck, settings

settings.register_profile("quick", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
