"""The conformance kit turns red: each small sabotage is refused by the check meant for it, with the thing, the reason
and the remedy; and each check is one that some sabotage has turned red."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import kvsim.testing
from kvsim.core.design import Axis
from kvsim.lab.hunt import watchdog
from kvsim.testing import ContractBroken
from kvsim.testing import declaration_checks as declared
from kvsim.testing import door_checks as doors
from kvsim.testing import membership_checks as membership
from kvsim.testing import message_checks as messages
from kvsim.testing import partitioning_checks as partitioning
from kvsim.testing import replication_checks as replication
from kvsim.testing import run_checks as runs
from kvsim.testing import value_checks as values
from kvsim.testing.contract import Check
from kvsim.testing.suites import OF_AXIS, checks_of


class Sabotage(NamedTuple):
    """A strategy that breaks something, the check that must see it first, and what it must say."""

    axis: Axis
    strategy: str
    check: Check
    said: str


def of(axis: Axis, *rows: tuple[str, Check, str]) -> list[Sabotage]:
    return [Sabotage(axis, *row) for row in rows]


CUTS_VALUES = f"{Path(__file__).parent / 'sabotages' / 'replications.py'}:CutsValues"
SABOTAGES = [
    *of(
        "replication",
        ("declarations.py:SaysNothing", declared.it_is_described, "SaysNothing has no docstring"),
        ("declarations.py:CanChange", declared.its_settings_can_be_read, "frozen=True"),
        (
            "declarations.py:NoBound",
            declared.its_settings_can_be_read,
            "the setting n of NoBoundSettings takes any number",
        ),
        ("declarations.py:NoUnit", declared.its_settings_can_be_read, "call it timeout_ns"),
        ("declarations.py:Unexplained", declared.its_settings_can_be_read, "the setting n is not explained"),
        ("declarations.py:OutOfBounds", declared.its_settings_can_be_read, "its own defaults are refused"),
        ("declarations.py:NoComma", declared.its_moot_axes_are_axes, 'moot = ("conflict",)'),
        ("declarations.py:NoAxis", declared.its_moot_axes_are_axes, "did you mean 'conflict'?"),
        ("declarations.py:UnknownJudge", declared.its_promises_can_be_judged, "did you mean 'linearizable'?"),
        ("declarations.py:NoPromise", declared.its_promises_can_be_judged, "it promises 'all will be well'"),
        (
            "declarations.py:Doubles",
            declared.its_settings_can_be_read,
            "(name='xx') reads as DoublesSettings(name='xxxx')",
        ),
        ("declarations.py:CountsInWords", declared.it_counts_its_copies, "copies() says 0 for 3 nodes"),
        ("declarations.py:NoRemedy", declared.every_other_choice_is_served_or_refused, "has no remedy"),
        ("declarations.py:TellsNumbers", replication.it_tells_of_itself_in_words, "{'term': 3}"),
        ("tag_missing.py:TagMissing", messages.its_messages_have_tags_of_their_own, 'tag="tag_missing.keep"'),
        ("tag_taken.py:TagTaken", messages.its_messages_have_tags_of_their_own, "Keep and Store share the tag"),
        (
            "mutable_message.py:MutableMessage",
            messages.its_messages_hold_what_cannot_change,
            "the field keys of Keep is a list",
        ),
        ("unreadable_message.py:UnreadableMessage", messages.its_messages_travel, "Keep does not travel"),
        ("unknown_message.py:UnknownMessage", messages.its_handlers_messages_are_known, "vote() handles RequestVote"),
        ("replications.py:LosesWrites", replication.operations_do_what_they_say, "reads None, and b'one' was written"),
        ("replications.py:CreatesAnyway", replication.operations_do_what_they_say, "create k=two ends with written"),
        (
            "replications.py:BlocksForEver",
            replication.operations_do_what_they_say,
            "create k=one ends with outcome_unknown",
        ),
        ("replications.py:Loops", replication.operations_do_what_they_say, "never comes back: replications.py, line "),
        (
            "replications.py:Raises",
            replication.operations_do_what_they_say,
            "fails with KeyError: b'k' at replications.py",
        ),
        ("replications.py:PlaysBall", replication.operations_do_what_they_say, "sabotage.ball go round"),
        (
            "replications.py:KeepsToItself",
            replication.operations_do_what_they_say,
            "reads None, and b'one' was written",
        ),
        (
            "replications.py:SendsInCircles",
            replication.every_key_is_served_at_every_door,
            "raise Elsewhere with a hint",
        ),
        ("replications.py:ScansBackwards", replication.scans_give_every_key_once, "gives [b'key-2', b'key-1'"),
        ("replications.py:AppliesRetriesTwice", replication.a_retry_is_applied_once, "a retry is answered"),
        (
            "replications.py:AnswersEarly",
            replication.an_answer_waits_for_the_disk,
            "all nodes lost power; now k reads None",
        ),
        ("replications.py:ForgetsAtRestart", replication.an_answer_waits_for_the_disk, "await self.replica.apply"),
        ("replications.py:StaysAway", replication.any_node_may_crash_and_come_back, "once bitten"),
        (
            "replications.py:ServesPutsAlone",
            declared.every_other_choice_is_served_or_refused,
            "refuse this design in refusals()",
        ),
        ("replications.py:Remembers", runs.one_seed_gives_one_run, "keep no state in modules and classes"),
        (
            "../../hunt/weak/raft_old_reads.py:ReadsAtOnce",
            runs.a_hunt_refutes_nothing,
            "linearizable refuted in run ",
        ),
    ),
    *of(
        "partitioning",
        (
            "draws_by_itself.py:DrawsByItself",
            runs.its_source_asks_the_host_alone,
            "draws_by_itself.py, line 3: it imports random",
        ),
        ("hashes.py:Hashes", runs.its_source_asks_the_host_alone, "calls hash()"),
        ("partitionings.py:ForgetsAReplica", partitioning.each_key_has_different_nodes, "1 of 2 nodes"),
        ("partitionings.py:NamesAStranger", partitioning.each_key_has_different_nodes, "names a stranger"),
        ("partitionings.py:NamesANodeTwice", partitioning.each_key_has_different_nodes, "names a node twice"),
        ("partitionings.py:ReturnsAList", partitioning.each_key_has_different_nodes, "return a tuple"),
        (
            "partitionings.py:FearsTheEmptyKey",
            partitioning.each_key_has_different_nodes,
            "IndexError: index out of range at partitionings.py",
        ),
        ("partitionings.py:TurnsTheListRound", partitioning.a_longer_list_begins_with_the_shorter, "then cut at n"),
        ("partitionings.py:CountsQuestions", partitioning.a_place_depends_on_key_and_members_alone, "lies on"),
        ("partitionings.py:Favours", partitioning.the_load_is_even, "times its share"),
        ("partitionings.py:LeavesIdle", partitioning.the_load_is_even, "data-5 owns none of"),
        ("partitionings.py:MovesAll", partitioning.growth_moves_what_is_declared, "when data-6 joins, the owner of"),
    ),
    *of(
        "membership",
        ("memberships.py:SeesGhosts", membership.nobody_is_suspected_in_a_quiet_network, "suspects data-1"),
        (
            "memberships.py:SeesNothing",
            membership.a_crash_is_noticed_by_all,
            "suspects nobody, where it should suspect data-2",
        ),
        ("memberships.py:NeverForgives", membership.who_comes_back_is_trusted_again, "where it should suspect nobody"),
        ("memberships.py:CannotCount", membership.views_are_numbered, "count: View(self.view.epoch + 1"),
    ),
    *of(
        "topology",
        ("doors.py:CountsBackwards", doors.frontends_are_counted, "frontends(1) is 2"),
        ("doors.py:OneDoor", doors.each_door_serves_each_key, "frontend-2"),
        ("doors.py:DeafDoor", doors.each_door_serves_each_key, "nobody answers read key-0 within 4 s"),
        ("doors.py:TakesAnySize", doors.what_is_too_large_is_refused_at_the_door, "1,025"),
    ),
    *of(
        "routing",
        ("walks_a_set.py:WalksASet", runs.its_source_asks_the_host_alone, "walks a set"),
        ("doors.py:FindsNobody", doors.routes_lead_to_members, "at least one node"),
        ("doors.py:FindsStrangers", doors.routes_lead_to_members, "are not different members"),
        ("doors.py:ChangesItsMind", doors.routes_lead_to_members, "other nodes the next time"),
        ("doors.py:FindsTheOthers", doors.the_first_found_can_coordinate_writes, "begin with the replicas"),
        ("doors.py:AsksOne", doors.doors_answer_when_nodes_are_down, "try the next node found"),
    ),
    *of(
        "consistency",
        ("values.py:PromisesNothing", values.its_level_is_promised, "promises no consistency"),
        ("values.py:ReadsNothing", values.reads_find_what_was_written, "the read finds None"),
        ("values.py:ReadsAny", runs.a_hunt_beside_every_replication_refutes_nothing, "linearizable refuted in run "),
    ),
    *of(
        "conflict",
        ("values.py:LastToComeStays", values.of_two_versions_one_stays, "each replaces the other"),
        ("values.py:GoesRound", values.replicas_agree_whatever_comes_first, " leaves None"),
        ("values.py:RepeatsVersions", values.its_clock_never_repeats, "put the node's name into its versions"),
    ),
    *of("storage", ("values.py:WrittenTwice", values.keys_are_written_as_often_as_it_says, "written is 'twice'")),
]


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.strategy.partition(":")[2])
def test_a_sabotage_is_refused_in_words(sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch) -> None:
    if sabotage.strategy.endswith(":Loops"):
        monkeypatch.setattr(watchdog, "PATIENCE_S", 0.2)
    check: Callable[..., None] = getattr(kvsim.testing, f"check_{sabotage.axis}")
    with pytest.raises(ContractBroken) as refused:
        check(f"sabotages/{sabotage.strategy}", hunt_runs=40)
    told = str(refused.value)
    assert sabotage.said in told
    promise = " ".join((sabotage.check.__doc__ or "").split())
    name = sabotage.strategy.rpartition("/")[2]
    assert told.startswith(f"{name} breaks the contract of {sabotage.axis}: {promise}\n")
    assert "\n  remedy: " in told
    assert len(told) < 1_500


@pytest.mark.parametrize("axis", OF_AXIS)
def test_every_check_is_one_that_some_sabotage_turns_red(axis: Axis) -> None:
    seen = {sabotage.check for sabotage in SABOTAGES} | {values.values_come_back_whole}  # by the test below
    assert [check.__name__ for check in checks_of(axis) if check not in seen] == []


def test_a_design_that_cuts_values_is_seen_by_the_check_of_storage() -> None:
    with pytest.raises(ContractBroken, match="a value of 256 bytes is read as another"):
        kvsim.testing.check_storage("objects", design={"replication": CUTS_VALUES})


def test_what_there_is_not_is_said_in_a_sentence() -> None:
    def problem(strategy: Any, check: Callable[..., None] = kvsim.testing.check_replication, **more: Any) -> str:
        with pytest.raises(ContractBroken) as refused:
            check(strategy, **more)
        return str(refused.value)

    assert "unknown strategy 'qourum'; did you mean 'quorum'?" in problem("qourum")
    assert "there is no file nowhere.py in " in problem("nowhere.py:Mine")
    assert "has no class 'LosesWrite'; did you mean 'LosesWrites'?" in problem("sabotages/replications.py:LosesWrite")
    assert "derive its class from kvsim.core.axes.Partitioning" in problem(
        "sabotages/replications.py:LosesWrites", kvsim.testing.check_partitioning
    )
    assert "design.replication.ww: unknown key; did you mean 'w'?" in problem("quorum", ww=3)
    assert "claim 'linearizable'" in problem("sabotages/declarations.py:ContradictsItself")
    assert "cannot exceed N=3" in problem("quorum", w=4)
    assert "hunt_runs: expected a number of runs, got -1" in problem("quorum", hunt_runs=-1)


def test_the_number_of_runs_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVSIM_HUNT_RUNS", "many")
    with pytest.raises(ContractBroken, match="KVSIM_HUNT_RUNS: expected a number of runs, got 'many'"):
        kvsim.testing.check_replication("quorum")
