"""What an exploration came to, on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from kvsim.cli.tables import WORDS, console
from kvsim.core.settings import toml_name
from kvsim.explore.explore import Exploration
from kvsim.explore.told import consequences, sentence


def show(found: Exploration, folder: Path | None) -> None:
    """The verdict, how far the search came, goals, and the story if there is one."""
    to = console()
    promised = ", ".join((*_judges(found), *(["its invariants"] if found.world.invariants else [])))
    to.print(f"\n{WORDS[found.verdict]}: {escape(promised or 'nothing that could be judged is promised')}")
    to.print(escape(_how_far(found)))
    bounds = found.scenario.settings.bounds
    given = [f"{toml_name(n)} ≤ {v}" for n in bounds.__struct_fields__ if (v := getattr(bounds, n))]
    to.print(f"bounds: {', '.join(given) or 'nothing goes wrong'}", style="dim")
    for goal in found.goals:
        if not goal.reached and found.story is None:
            of = f" of {goal.of}" if goal.of else ""
            to.print(
                f"[yellow]never reached:[/] {escape(goal.name)}; the nearest schedule, of {len(goal.path)} steps, had "
                f"{goal.nearest}{of} operations ended"
            )
    for reason in found.undecided:
        to.print(f"[yellow]undecided:[/] {escape(reason)}")
    if found.story is not None:
        to.print(f"\n[bold]{escape(found.story.sentence)}[/]\n")
        state = found.beginning.state
        for number, action in enumerate(found.story.path, 1):
            to.print(f"{number:3}. {escape(sentence(found.world, state, action))}", soft_wrap=True)
            outcome = found.world.act(state, action)
            for line in consequences(found.world, outcome):
                to.print(f"       → {escape(line)}", soft_wrap=True)
            state = outcome.state
    if folder is not None:
        to.print(f"\nstory       {folder / 'story.md'}", soft_wrap=True)
        to.print(f"transcript  {folder / 'transcript.txt'}", soft_wrap=True)


def _judges(found: Exploration) -> list[str]:
    claimed = {promise.judge for promise in found.scenario.design.promises()}
    return [name for name in ("linearizable", "durability") if name in claimed]


def _how_far(found: Exploration) -> str:
    counts = found.counts
    rate = counts.schedules / max(found.seconds, 1e-9)
    if found.is_complete:
        whole = "all"
    elif found.complete_to_faults is not None:
        whole = f"all with up to {found.complete_to_faults} faults"
    elif found.share is not None and found.finding is None:
        whole = f"about {found.share:.2%} of all, as far as depth first came"
    else:
        whole = "a part"
    return (
        f"{counts.schedules:,} schedules ({whole}), {counts.states:,} states, {found.histories} different histories, "
        f"depth {counts.deepest}, in {found.seconds:.1f} s: {rate:,.0f} a second"
    )
