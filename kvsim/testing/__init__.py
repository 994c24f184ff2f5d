"""Conformance suites that any host or strategy can be put through, ours and outsiders'."""

from kvsim.testing.host_suite import HOST_CHECKS, check_host

__all__ = ["HOST_CHECKS", "check_host"]
