"""The rule by which one view follows another: a pure function, searched for a step that breaks what views must keep."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kvsim.strategies.replication.primary_backup.views import GroupView, ServiceState, first_view, next_state

NODES = ("a", "b", "c", "d")
incarnations = st.integers(1, 3)
alive_nodes = st.dictionaries(st.sampled_from(NODES), incarnations)


@st.composite
def states(draw: st.DrawFn) -> ServiceState:
    """Any state that a view service may be in."""
    members = draw(st.lists(st.sampled_from(NODES), min_size=1, unique=True))
    split = draw(st.integers(1, len(members)))
    lives = {node: draw(incarnations) for node in members}
    primary = members[0]
    view = GroupView(7, primary, lives[primary], tuple(members[1:split]), tuple(members[split:]))
    return ServiceState(view, draw(st.booleans()), lives)


reports = st.lists(st.sampled_from(NODES), unique=True)
copies = st.integers(1, 4)


@given(states(), alive_nodes, reports, copies, st.booleans())
def test_no_view_follows_one_that_its_primary_has_not_acknowledged(
    state: ServiceState, alive: dict[str, int], caught_up: list[str], copies: int, survives: bool
) -> None:
    state = msgspec.structs.replace(state, acknowledged=False)
    assert next_state(state, alive, caught_up, NODES, copies, survives) == state


@given(states(), alive_nodes, reports, copies, st.booleans())
def test_only_members_that_have_everything_become_primary_or_backup(
    state: ServiceState, alive: dict[str, int], caught_up: list[str], copies: int, survives: bool
) -> None:
    old, new = state.view, next_state(state, alive, caught_up, NODES, copies, survives).view
    complete = {old.primary, *old.backups, *(node for node in old.joining if node in caught_up)}
    assert {new.primary, *new.backups} <= complete
    if new != old and not survives:
        assert all(alive[node] == state.incarnations[node] for node in (new.primary, *new.backups))


@given(states(), alive_nodes, reports, copies, st.booleans())
def test_a_new_view_has_the_next_number_lives_and_is_stable(
    state: ServiceState, alive: dict[str, int], caught_up: list[str], copies: int, survives: bool
) -> None:
    following = next_state(state, alive, caught_up, NODES, copies, survives)
    if following == state:
        return
    view = following.view
    members = [view.primary, *view.backups, *view.joining]
    assert view.number == state.view.number + 1
    assert not following.acknowledged
    assert len(set(members)) == len(members)
    assert all(alive[node] == following.incarnations[node] for node in members)
    assert view.incarnation == alive[view.primary]
    acknowledged = msgspec.structs.replace(following, acknowledged=True)
    assert next_state(acknowledged, alive, [], NODES, copies, survives) == acknowledged


@given(states(), alive_nodes, reports, copies)
def test_a_primary_that_lives_stays_primary(
    state: ServiceState, alive: dict[str, int], caught_up: list[str], copies: int
) -> None:
    alive[state.view.primary] = state.view.incarnation
    assert next_state(state, alive, caught_up, NODES, copies, survives=True).view.primary == state.view.primary


@given(alive_nodes.filter(bool), copies)
def test_the_first_view_takes_the_first_nodes_that_live(alive: dict[str, int], copies: int) -> None:
    view = first_view(alive, NODES, copies).view
    assert (view.primary, *view.backups) == tuple(node for node in NODES if node in alive)[:copies]
    assert view.joining == ()


def test_a_primary_that_restarted_gets_a_view_of_its_own() -> None:
    state = ServiceState(GroupView(3, "a", 1, ("b",)), True, {"a": 1, "b": 1})
    assert next_state(state, {"a": 2, "b": 1}, [], NODES, 2, survives=True).view == GroupView(4, "a", 2, ("b",))


def test_without_disks_a_backup_takes_the_place_of_a_primary_that_restarted() -> None:
    state = ServiceState(GroupView(3, "a", 1, ("b",)), True, {"a": 1, "b": 1})
    assert next_state(state, {"a": 2, "b": 1}, [], NODES, 2, survives=False).view == GroupView(4, "b", 1, (), ("a",))


def test_while_nobody_who_has_the_data_lives_no_view_is_granted() -> None:
    state = ServiceState(GroupView(3, "a", 1, ("b",), ("c",)), True, {"a": 1, "b": 1, "c": 1})
    assert next_state(state, {"c": 1, "d": 1}, [], NODES, 2, survives=True) == state
