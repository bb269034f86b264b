"""Engines: they run components and answer with values (`torvyn_ref.calls`), never with a guest's exception."""
