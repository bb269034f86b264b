"""Hypothesis state machines: a facet and a model, driven in lock-step."""
