"""Which primary-backup designs are refused, with what words, and what the others promise."""

from __future__ import annotations

from typing import Any

import pytest

from kvsim.core.design import Design
from kvsim.core.message import MILLISECOND
from kvsim.core.settings import SettingsError
from kvsim.strategies.catalogue import cluster_of, read_design
from kvsim.strategies.replication.primary_backup.settings import PrimaryBackupSettings, longest_lease_ns


def design(durability: str = "disk", consistency: str | None = None, **replication: Any) -> Design:
    table: dict[str, Any] = {"replication": {"strategy": "primary_backup", **replication}, "durability": durability}
    return read_design(table | ({"consistency": consistency} if consistency else {}), "x.toml: design", 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "async", "consistency": "linearizable"}, "a promotion can lose it"),
        ({"dead_after": "50ms"}, "every node is dead between two pings"),
        ({"lease": "250ms"}, "shorten lease, or raise dead_after"),
        ({"drift": 0.2}, "a lease of 200 ms can outlast its grant"),
        ({"copies": 0}, "copies"),
        ({"mode": "semi"}, "mode"),
    ],
)
def test_a_design_that_cannot_keep_its_word_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        design(**settings)


def test_a_lease_of_no_use_is_not_judged() -> None:
    assert design(reads="round", lease="10s").setting("replication", "reads") == "round"


def test_the_longest_lease_ends_in_true_time_before_the_view_service_may_promote() -> None:
    settings = PrimaryBackupSettings(dead_after_ns=100 * MILLISECOND, drift=0.1)
    slow_primary, fast_service = 1 - settings.drift, 1 + settings.drift
    assert longest_lease_ns(settings) / slow_primary <= settings.dead_after_ns / fast_service


def test_the_consistency_that_goes_without_saying_follows_the_mode() -> None:
    assert design(mode="sync").uses("consistency", "linearizable")
    assert design(mode="async").uses("consistency", "eventual")


def test_partitions_and_conflicts_have_no_meaning_here() -> None:
    assert set(design().moot()) == {"partitioning", "conflict"}


def test_the_view_service_is_a_node_of_its_own() -> None:
    assert cluster_of(design(), 3).services == ("view-1",)


@pytest.mark.parametrize(
    ("settings", "claim", "judge"),
    [
        ({}, "on the disks of the primary and all backups", "durability"),
        ({"durability": "memory"}, "if all of them crash, nobody serves", "durability"),
        ({"mode": "async"}, "what no backup has yet is lost when one is promoted", ""),
    ],
)
def test_durability_is_promised_as_far_as_it_goes(settings: dict[str, Any], claim: str, judge: str) -> None:
    [promise] = [promise for promise in design(**settings).promises() if promise.subject == "durability"]
    assert claim in promise.claim
    assert promise.judge == judge


def test_the_single_point_of_failure_is_stated() -> None:
    [faults] = [promise for promise in design().promises() if promise.subject == "faults"]
    assert "the view service is a single point of failure" in faults.claim


def test_linearizability_is_claimed_with_what_it_rests_on() -> None:
    claims = {
        reads: [p.claim for p in design(reads=reads).promises() if p.judge == "linearizable"]
        for reads in ("lease", "round")
    }
    assert "if no clock drifts by over 1.00%" in claims["lease"][0]
    assert "after a round with its backups" in claims["round"][0]
    assert not [p for p in design(consistency="eventual").promises() if p.judge == "linearizable"]
