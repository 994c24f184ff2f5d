"""The conformance kit: for each axis the checks that any strategy on it must pass, kvsim's own and anybody's.

    from kvsim.testing import check_replication

    def test_my_protocol():
        check_replication("mine.py:MyProtocol")

A file is looked for beside the test. Each function raises `ContractBroken`, an `AssertionError`, with the promise that
is broken, how, and the remedy. `pytest --kvsim mine.py:MyProtocol` runs the checks one by one, without a test file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvsim.core.axes import (
    Conflict,
    Consistency,
    Membership,
    Partitioning,
    Replication,
    Routing,
    Storage,
    Topology,
)
from kvsim.core.design import Axis, Strategy
from kvsim.core.settings import SettingsError
from kvsim.testing import (
    declaration_checks,
    door_checks,
    membership_checks,
    message_checks,
    partitioning_checks,
    replication_checks,
    run_checks,
    value_checks,
)
from kvsim.testing.by_hand import ContractBroken
from kvsim.testing.contract import Check, run_check
from kvsim.testing.subject import subject_of

EVERY: tuple[Check, ...] = (
    declaration_checks.it_is_described,
    declaration_checks.its_settings_can_be_read,
    declaration_checks.its_moot_axes_are_axes,
    declaration_checks.its_promises_can_be_judged,
    message_checks.its_messages_have_tags_of_their_own,
    message_checks.its_messages_hold_what_cannot_change,
    message_checks.its_messages_travel,
    message_checks.its_handlers_messages_are_known,
    run_checks.its_source_asks_the_host_alone,
)
"""What is asked of a strategy of any axis first."""
LAST: tuple[Check, ...] = (
    declaration_checks.every_other_choice_is_served_or_refused,
    run_checks.one_seed_gives_one_run,
)
HUNT: tuple[Check, ...] = (run_checks.a_hunt_refutes_nothing,)

OF_AXIS: dict[Axis, tuple[Check, ...]] = {
    "replication": (
        declaration_checks.it_counts_its_copies,
        replication_checks.operations_do_what_they_say,
        replication_checks.every_key_is_served_at_every_door,
        replication_checks.scans_give_every_key_once,
        replication_checks.a_retry_is_applied_once,
        replication_checks.an_answer_waits_for_the_disk,
        replication_checks.any_node_may_crash_and_come_back,
        replication_checks.it_tells_of_itself_in_words,
        *LAST,
        *HUNT,
    ),
    "partitioning": (
        partitioning_checks.each_key_has_different_nodes,
        partitioning_checks.a_longer_list_begins_with_the_shorter,
        partitioning_checks.a_place_depends_on_key_and_members_alone,
        partitioning_checks.the_load_is_even,
        partitioning_checks.growth_moves_what_is_declared,
        *LAST,
        *HUNT,
    ),
    "membership": (
        membership_checks.nobody_is_suspected_in_a_quiet_network,
        membership_checks.a_crash_is_noticed_by_all,
        membership_checks.who_comes_back_is_trusted_again,
        membership_checks.views_are_numbered,
        *LAST,
        *HUNT,
    ),
    "topology": (
        door_checks.frontends_are_counted,
        door_checks.each_door_serves_each_key,
        door_checks.what_is_too_large_is_refused_at_the_door,
        door_checks.doors_answer_when_nodes_are_down,
        *LAST,
        *HUNT,
    ),
    "routing": (
        door_checks.routes_lead_to_members,
        door_checks.the_first_found_can_coordinate_writes,
        door_checks.each_door_serves_each_key,
        door_checks.doors_answer_when_nodes_are_down,
        *LAST,
        *HUNT,
    ),
    "consistency": (
        value_checks.its_level_is_promised,
        value_checks.reads_find_what_was_written,
        *LAST,
        run_checks.a_hunt_beside_every_replication_refutes_nothing,
    ),
    "conflict": (
        value_checks.of_two_versions_one_stays,
        value_checks.replicas_agree_whatever_comes_first,
        value_checks.its_clock_never_repeats,
        *LAST,
        *HUNT,
    ),
    "storage": (
        value_checks.values_come_back_whole,
        value_checks.keys_are_written_as_often_as_it_says,
        *LAST,
        *HUNT,
    ),
}


def checks_of(axis: Axis) -> tuple[Check, ...]:
    """All checks of an axis, in the order in which a beginner's mistakes are told best."""
    return (*EVERY, *OF_AXIS.get(axis, (*LAST, *HUNT)))


def _check(
    axis: Axis, strategy: str | type[Strategy], design: Mapping[str, Any] | None, hunt_runs: int | None, settings: Any
) -> None:
    __tracebackhide__ = True
    subject = None
    problem = ""
    try:
        subject = subject_of(axis, strategy, _callers_folder(), design, hunt_runs, settings)
    except SettingsError as error:
        problem = f"{getattr(strategy, '__name__', strategy)} cannot be checked: {error}"
    if subject is None:
        raise ContractBroken(problem)
    for check in checks_of(axis):
        run_check(check, subject)


def _callers_folder() -> Path:
    """Where the test stands that called: a file's name is relative to it, as in an experiment."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    file = Path(frame.f_code.co_filename)
    return file.parent if file.is_file() else Path.cwd()


def check_replication(
    strategy: str | type[Replication],
    *,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    **settings: Any,
) -> None:
    """Operations and refusals, scans, retries, durability, crashes, determinism, and a hunt."""
    __tracebackhide__ = True
    _check("replication", strategy, design, hunt_runs, settings)


def check_partitioning(
    strategy: str | type[Partitioning],
    *,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    **settings: Any,
) -> None:
    """Total, distinct, deterministic and even, and how much growth moves (`monotone`); then a hunt."""
    __tracebackhide__ = True
    _check("partitioning", strategy, design, hunt_runs, settings)


def check_membership(
    strategy: str | type[Membership],
    *,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    **settings: Any,
) -> None:
    """No false suspicion in a quiet network, crashes noticed (unless `notices_crashes` is False), returns trusted; then
    a hunt."""
    __tracebackhide__ = True
    _check("membership", strategy, design, hunt_runs, settings)


def check_topology(
    strategy: str | type[Topology],
    *,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    **settings: Any,
) -> None:
    """Every door serves every key, refuses what is too large, and answers when nodes are down; then a hunt."""
    __tracebackhide__ = True
    _check("topology", strategy, design, hunt_runs, settings)


def check_routing(
    strategy: str | type[Routing],
    *,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    **settings: Any,
) -> None:
    """Routes lead to members that hold the key, from every door; then a hunt."""
    __tracebackhide__ = True
    _check("routing", strategy, design, hunt_runs, settings)


def check_consistency(
    strategy: str | type[Consistency],
    *,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    **settings: Any,
) -> None:
    """The level is promised so that a judge can refute it; then a hunt beside every replication that accepts it."""
    __tracebackhide__ = True
    _check("consistency", strategy, design, hunt_runs, settings)


def check_conflict(
    strategy: str | type[Conflict],
    *,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    **settings: Any,
) -> None:
    """One winner whatever the order, and clocks that never repeat; then a hunt."""
    __tracebackhide__ = True
    _check("conflict", strategy, design, hunt_runs, settings)


def check_storage(
    strategy: str | type[Storage],
    *,
    design: Mapping[str, Any] | None = None,
    hunt_runs: int | None = None,
    **settings: Any,
) -> None:
    """Values come back whole, and keys are written as often as it says; then a hunt."""
    __tracebackhide__ = True
    _check("storage", strategy, design, hunt_runs, settings)
