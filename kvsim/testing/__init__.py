"""Conformance suites that any host or strategy can be put through, ours and outsiders'."""
