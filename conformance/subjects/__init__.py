"""Subjects: whatever is under test, seen through the facets that it declares."""
