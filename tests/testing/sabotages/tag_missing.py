"""A message without a tag of its own."""

from kvsim.core.message import Message
from kvsim.strategies.replication.single_copy import SingleCopy


class Keep(Message):
    """Has its class's name as its tag."""


class TagMissing(SingleCopy):
    """Sends it."""
