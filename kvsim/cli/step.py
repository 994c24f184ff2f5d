"""`kvsim step`: a person as the scheduler: see what could happen next, choose, go back, look into the nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kvsim.check.wording import counted
from kvsim.cli.scenario_file import read_file
from kvsim.core.settings import nearest
from kvsim.explore.action import BUDGET

if TYPE_CHECKING:
    from kvsim.explore.action import Action
    from kvsim.explore.session import Session

HELP = """\
NUMBER …        let this happen, and then this   (Enter: number 1)
list            what could happen next
undo            go one step back                 redo         take it again
mark NAME       remember this moment             go NAME      go to it
state [NODE]    what nodes hold                  diff [NODE]  what the last step changed in them
seen            what clients know                path         what has happened
judge           ask the judges
save FILE       write the path as a transcript that is a test
quit
The beginning of a word is enough where no other begins so: u, l, j."""


def step(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME|RUN", help=r"An experiment's file; its \[explore] says what is asked. Or a run's folder."
        ),
    ],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key: design.replication.w=1.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin at this moment of a simulated run; FILE is its folder.")
    ] = None,
) -> None:
    """Choose by hand what happens next: messages, disks, timers, crashes.

    Reads commands from standard input; help lists them.

    Example: kvsim step mine.toml --set design.replication.w=1
    """
    from kvsim.explore.session import Session

    _Terminal(Session(read_file(experiment, set_ or (), at))).run()


class _Terminal:
    """Reads a command, does it, and shows what it led to."""

    def __init__(self, session: Session) -> None:
        from rich.console import Console

        self.session = session
        self.console = Console(highlight=False)
        self.is_over = False
        self._commands: dict[str, Callable[..., None]] = {
            "list": self.list, "undo": self.undo, "mark": self.mark, "go": self.go, "state": self.state,
            "diff": self.diff, "judge": self.judge, "path": self.path, "save": self.save, "quit": self.quit,
            "help": self.help, "redo": self.redo, "seen": self.seen,
        }  # fmt: skip
        self._complete_words()

    def _complete_words(self) -> None:
        """Keys of the terminal: Tab for commands and nodes, arrows for what was typed before."""
        if not self.console.is_terminal:
            return
        try:
            import readline
        except ImportError:  # on Windows
            return
        words = [*self._commands, *self.session.world.nodes]

        def complete(begun: str, number: int) -> str | None:
            found = [f"{word} " for word in [*words, *self.session.bookmarks] if word.startswith(begun)]
            return found[number] if number < len(found) else None

        readline.set_completer(complete)
        readline.set_completer_delims(" ")
        readline.parse_and_bind("tab: complete")

    def run(self) -> None:
        """Until `quit`, or the end of the input."""
        self.list()
        while not self.is_over:
            try:
                line = self.console.input(f"step {len(self.session.path)}> ")
            except (EOFError, KeyboardInterrupt):
                self.say("")
                return
            self.do(line)

    def do(self, line: str) -> None:
        """One command."""
        name, *words = line.split() or ["1"]
        if name.isdecimal():
            self.choose([name, *words])
            return
        meant = [known for known in self._commands if known.startswith(name)]
        if name not in meant and len(meant) != 1:
            which = f"; {name} may be {' or '.join(meant)}" if meant else nearest(name, self._commands)
            self.say(f"unknown command {name}{which}; help lists them")
            return
        command = self._commands[name if name in meant else meant[0]]
        try:
            command(*words)
        except TypeError:
            self.say(f"{name} takes other words; help shows which")
        except OSError as error:
            self.say(f"{error.filename}: {error.strerror}")

    def say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    # ---- Commands

    def help(self) -> None:
        self.say(HELP)

    def quit(self) -> None:
        self.is_over = True

    def list(self) -> None:
        """All that could happen, with numbers."""
        from rich.table import Table
        from rich.text import Text

        choices = self.session.choices()
        if not choices:
            self.say("nothing can happen any more that a client would see; undo, judge, save or quit")
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(justify="right")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for number, action in enumerate(choices, 1):
            style = "dim" if action[0] in BUDGET else ""  # what goes wrong, or happens out of turn
            table.add_row(str(number), _sort_of(action[0]), Text(self.session.told(action)), style=style)
        self.console.print(table)

    def choose(self, numbers: Sequence[str]) -> None:
        """One after the other, each by its number in the list that then stands."""
        for number in numbers:
            choices = self.session.choices()
            if not number.isdecimal() or not 1 <= int(number) <= len(choices):
                self.say(f"there is no {number}; list shows what there is")
                return
            self._take(choices[int(number) - 1])
        self.list()

    def _take(self, action: Action) -> None:
        self.say(self.session.told(action), style="bold")
        for line in self.session.take(action):
            self.say(f"  → {line}")
        if verdict := self.session.verdict():
            self.say(f"  ✗ {verdict}", style="bold")

    def undo(self) -> None:
        self.say("one step back" if self.session.undo() else "this is the beginning")
        self.list()

    def redo(self) -> None:
        action = self.session.undone()
        if action is None:
            self.say("nothing was undone from here")
            return
        self._take(action)
        self.list()

    def seen(self) -> None:
        """What clients asked and were told, in its order."""
        lines = self.session.seen()
        for line in lines or ["no client has asked anything yet"]:
            self.say(f"  {line}")

    def mark(self, name: str) -> None:
        self.session.mark(name)
        self.say(f"{name}: after {counted(len(self.session.path), 'step')}")

    def go(self, name: str) -> None:
        try:
            self.session.go_to(name)
        except KeyError:
            self.say(f"no moment is named {name}; there is {', '.join(self.session.bookmarks) or 'none'}")
            return
        self.say(f"at {name}, after {counted(len(self.session.path), 'step')}")
        self.list()

    def state(self, node: str = "") -> None:
        for each in self._meant(node):
            if not node:
                self.say(each, style="bold")
            for name, value in self.session.node_state(each).items():
                self.say(f"  {name} = {_plain(value)}" if name else f"  {value}")

    def diff(self, node: str = "") -> None:
        changed = [each for each in self._meant(node) if self._diff(each)]
        if not changed and (not node or node in self.session.world.nodes):
            self.say(f"the last step changed nothing that {node or 'a node'} keeps")

    def _diff(self, node: str) -> bool:
        """Show what the last step changed in a node; whether that is anything."""
        now, before = self.session.node_state(node), self.session.node_state(node, steps_back=1)
        changed = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
        if changed:
            self.say(node, style="bold")
        for name in changed:
            self.say(f"- {name} = {_plain(before.get(name))}")
            self.say(f"+ {name} = {_plain(now.get(name))}")
        return bool(changed)

    def judge(self) -> None:
        names = ", ".join(self.session.always.judges) or "no judge"
        verdict = self.session.verdict()
        self.say(f"✗ {verdict}" if verdict else f"✓ nothing speaks against it so far ({names})")

    def path(self) -> None:
        session = self.session
        state = session.beginning.state
        from kvsim.explore.told import sentence

        for number, action in enumerate(session.path, 1):
            self.say(f"{number:3}. {sentence(session.world, state, action)}")
            state = session.world.act(state, action).state

    def save(self, file: str) -> None:
        from kvsim.testing.transcript import rerun

        if self.session.world.scenario.past is not None:
            self.say("a transcript begins with a new cluster, and this path in the middle of a run; path shows it")
            return
        head = self.session.verdict() or "Chosen by hand."
        Path(file).write_text(rerun(self.session.transcript(head), file), encoding="utf-8")
        self.say(f"written: {file}")

    def _meant(self, node: str) -> tuple[str, ...]:
        """This node, or all when none is named."""
        nodes = self.session.world.nodes
        if node and node not in nodes:
            self.say(f"there is no node {node}; there is {', '.join(nodes)}")
            return ()
        return (node,) if node else nodes


def _sort_of(kind: int) -> str:
    from kvsim.explore.action import Kind

    return Kind(kind).name.lower().replace("_", " ")


def _plain(value: object) -> str:
    import msgspec

    return msgspec.json.encode(value).decode() if isinstance(value, dict | list | tuple) else str(value)
