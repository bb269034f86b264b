"""Torvyn's conformance suite: what any runtime must do, and the machinery that decides whether it does."""
