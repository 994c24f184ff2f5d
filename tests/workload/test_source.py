"""A client's operations: drawn from its own stream, by the shares of the mix, with values that never repeat."""

from collections import Counter

import pytest

from kvsim.core.chance import Chance
from kvsim.core.operation import Absent, CompareAndSet, Create, Delete, Found, Put, Read, Remove, Scan, Update
from kvsim.core.version import Version
from kvsim.workload.settings import MIXES, Mix, Uniform, Workload
from kvsim.workload.source import KeySpace, Source, Step, token_of


def source(mix: Mix | str, seed: int = 0, client: str = "client-3", **settings: object) -> Source:
    workload = Workload(mix=mix, keys=Uniform(count=20), **settings)  # type: ignore[arg-type]
    return Source(workload, Chance(seed, client), KeySpace(workload), client)


def steps(of: Source, count: int) -> list[Step]:
    return [of.next() for _ in range(count)]


@pytest.mark.parametrize("name", sorted(MIXES))
def test_the_shares_of_a_mix_are_kept(name: str) -> None:
    mix = MIXES[name]  # type: ignore[index]
    kinds = Counter(type(step.operation) for step in steps(source(name), 4_000))
    assert kinds[Read] / 4_000 == pytest.approx(mix.read + mix.read_modify_write, abs=0.03)
    assert kinds[Scan] / 4_000 == pytest.approx(mix.scan, abs=0.03)
    assert kinds[Put] / 4_000 == pytest.approx(mix.update + mix.insert, abs=0.03)


def test_ycsbs_writes_are_blind_so_that_every_design_serves_them() -> None:
    for mix in (Mix(update=1.0), Mix(insert=1.0), Mix(put=1.0)):
        assert {type(step.operation) for step in steps(source(mix), 50)} == {Put}


@pytest.mark.parametrize(
    ("mix", "kind"),
    [
        (Mix(create=1.0), Create),
        (Mix(update_if_present=1.0), Update),
        (Mix(delete=1.0), Delete),
        (Mix(remove=1.0), Remove),
    ],
)
def test_conditional_operations_can_be_asked_for(mix: Mix, kind: type) -> None:
    assert {type(step.operation) for step in steps(source(mix), 20)} == {kind}


def test_values_never_repeat_and_have_the_asked_size() -> None:
    mix = Mix(update=0.5, insert=0.5)
    one, other = source(mix, value_size_bytes=40), source(mix, client="client-4", value_size_bytes=40)
    values = [step.operation.value for step in (*steps(one, 100), *steps(other, 100))]  # type: ignore[union-attr]
    assert len(set(values)) == 200
    assert {len(value) for value in values} == {40}
    assert token_of(values[0]) == b"c3-1"


def test_a_token_longer_than_the_value_is_not_cut() -> None:
    assert source(Mix(put=1.0), value_size_bytes=1).next().operation.value == b"c3-1"  # type: ignore[union-attr]


def test_the_same_seed_gives_the_same_operations() -> None:
    assert [s.operation for s in steps(source("ycsb-a"), 50)] == [s.operation for s in steps(source("ycsb-a"), 50)]
    assert [s.operation for s in steps(source("ycsb-a"), 50)] != [s.operation for s in steps(source("ycsb-a", 1), 50)]


def test_a_compare_and_set_expects_what_its_read_found() -> None:
    step = source(Mix(cas=1.0)).next()
    assert isinstance(step.operation, Read)
    assert step.then is not None
    after_value, after_nothing = step.then(Found(b"l1-1", Version(1))), step.then(Absent())
    assert isinstance(after_value, CompareAndSet)
    assert (after_value.key, after_value.expected) == (step.operation.key, b"l1-1")
    assert isinstance(after_nothing, CompareAndSet)
    assert after_nothing.expected is None


def test_a_read_modify_write_puts_to_the_key_that_it_read() -> None:
    step = source(Mix(read_modify_write=1.0)).next()
    assert step.then is not None
    follow = step.then(Absent())
    assert isinstance(follow, Put)
    assert follow.key == step.operation.key  # type: ignore[union-attr]


def test_inserts_name_keys_that_nobody_has() -> None:
    found = steps(source(Mix(insert=1.0)), 30)
    assert [step.inserts for step in found] == list(range(20, 50))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"mix": Mix(read=0.5)}, "add up to 0.5"),
        ({"clients": 3, "rate": 10.0}, "leave out clients or rate"),
        ({"rate": 10.0, "think_time_ns": 5}, "only a closed loop thinks"),
        ({"duration_ns": 10, "warm_up_ns": 10}, "must be shorter"),
    ],
)
def test_a_workload_that_makes_no_sense_says_why(settings: dict[str, object], problem: str) -> None:
    [found] = Workload(**settings).refusals()  # type: ignore[arg-type]
    assert problem in found
