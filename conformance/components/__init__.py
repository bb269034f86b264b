"""Validation of one component by anybody: what its bytes say, and what it does when a runtime calls it (docs/component-validation.md).

The judge reads binaries and manifests by itself and drives a runtime through the protocol's facet `guests`, as every check does (law 1).
"""
