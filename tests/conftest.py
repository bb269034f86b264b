"""How much Hypothesis tries: the same few examples every time by default, many fresh ones under `HYPOTHESIS_PROFILE=deep` (`make deep`)."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("quick", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
