"""The explored world is the stepped world: what is remembered of nodes is what they do."""

from __future__ import annotations

import re

import pytest

from kvsim.core.chance import Chance
from kvsim.explore import shown
from kvsim.explore.action import BUDGET, Action
from kvsim.explore.beginning import begin
from kvsim.explore.clients import asked_by
from kvsim.explore.scenario import Scenario, read_scenario
from kvsim.explore.told import transcript
from kvsim.explore.world import World
from kvsim.testing.transcript import rerun
from tests.explore.worlds import quorum
from tests.planted.planting import world_of

ANYTHING = {"crashes": 2, "losses": 2, "duplicates": 2, "timers": 6, "retries": 2, "disk_failures": 1}


def world_named(protocol: str, name: str) -> Scenario:
    table = world_of(protocol, name)
    table["explore"]["bounds"] = ANYTHING
    return read_scenario(table, f"{name}.toml")


WORLDS = {
    "quorum": lambda: world_named("quorum", "retry"),
    "primary_backup": lambda: world_named("primary_backup", "retry"),
    "raft": lambda: world_named("raft", "retry"),
    "one clock": lambda: quorum("c1: put x=1 at node-1", "c2: get x at node-2", bounds=ANYTHING, clocks="together"),
}


def random_walk(world: World, seed: int) -> tuple[list[Action], list[str], list[str]]:
    """A path, and in its order what was sent and what clients were told."""
    state, chance = begin(world).state, Chance(seed, "walk")
    path: list[Action] = []
    sent: list[str] = []
    answers: list[str] = []
    while (enabled := world.enabled(state)) and len(path) < 60:
        calm = [action for action in enabled if action[0] not in BUDGET]
        action = chance.pick(enabled if not calm or chance.happens(0.2) else calm)
        path.append(action)
        outcome = world.act(state, action)
        step = outcome.step
        if step is not None:
            for to, parcel, _ in step.sent:
                message = world.locals.parcels[parcel].envelope.message
                sent.append(f"{step.local.node}->{to} {shown.line(message)}")
            for number, answer in step.answers:
                client, position, _ = asked_by(number)
                request = world.scenario.asks[client][position].operation.request
                answers.append(f"{step.local.node}->client {shown.answer(answer, request)}")
        state = outcome.state
    return path, sent, answers


@pytest.mark.parametrize("name", WORLDS)
def test_a_path_run_as_a_transcript_sends_and_answers_the_same(name: str) -> None:
    for seed in range(12):
        world = World(WORLDS[name]())
        path, sent, answers = random_walk(world, seed)
        lines = rerun(transcript(world, begin(world), path, ""), "walk").splitlines()
        happened = [line.removesuffix(" lost") for line in lines if re.match(r"\S+->\S+ \S+\.\S+ ", line + " ")]
        assert [line for line in happened if "->client" not in line] == sent
        told = [line for line in lines if "->client " in line]
        assert told == answers
        assert path and (answers or sent)


def test_a_world_with_merged_moments_takes_the_same_paths_to_the_same_answers() -> None:
    for seed in range(12):
        scenario = WORLDS["raft"]()
        merged, plain = World(scenario), World(scenario, merge=False)
        path, _, answers = random_walk(plain, seed)
        state = begin(merged).state
        for action in path:
            assert action in merged.enabled(state)
            state = merged.act(state, action).state
        assert random_walk(merged, seed)[2] == answers


def test_orders_that_leave_a_node_the_same_are_one_moment() -> None:
    world = World(quorum("c1: put x=1 at node-1", "c2: put y=2 at node-2"))
    state = world.bounded(world.first())
    ask, other = (action for action in world.enabled(state) if action[0] == 0)
    one = world.act(world.act(state, ask).state, other).state
    two = world.act(world.act(state, other).state, ask).state
    assert one.key() == two.key()
