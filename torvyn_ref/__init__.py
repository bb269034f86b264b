"""Torvyn's reference runtime: what Torvyn does, stated as plainly as Python allows."""
