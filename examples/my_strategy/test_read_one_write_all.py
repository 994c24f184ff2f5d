"""The strategy beside this file keeps the contract of its axis: pytest examples/my_strategy."""

from kvsim.testing import check_replication


def test_read_one_write_all() -> None:
    check_replication("read_one_write_all.py:ReadOneWriteAll")
