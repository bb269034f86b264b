"""Capabilities: deny by default."""
