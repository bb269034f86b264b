"""Contracts: what components and hosts promise each other, read from WIT and held against what they do.

`wit` reads the text; worlds, versions, compatibility and linking build on the values it gives.
"""
