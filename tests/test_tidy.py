"""House rules that no linter knows, as tests; a failure says which line breaks the rule, and why there is one."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvsim.testing.source_rules import set_walks

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "kvsim").rglob("*.py"))
NODE_LOGIC = [path for path in MODULES if path.relative_to(ROOT).parts[1] in ("core", "strategies")]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

LONGEST_FILE_LINES = 500
LONGEST_FUNCTION_LINES = 60
# A home, a work folder or an installation of one machine; not a path inside a URL or a relative path.
MACHINE_PATH = re.compile(r"(?<![\w.}~-])/(?:root|work|home|Users|opt)/\w[^\s\"']*")
DURATION_NAME = re.compile(r"(?:^|_)(?:timeout|delay|interval)$")
DURATION_TYPE = re.compile(r"Nanoseconds|Duration|timedelta")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def at(path: Path, node: ast.AST | int) -> str:
    line = node if isinstance(node, int) else getattr(node, "lineno", 1)
    return f"{path.relative_to(ROOT)}:{line}"


def refuse(breaches: list[str], why: str) -> None:
    if breaches:
        pytest.fail(f"{why}\n  " + "\n  ".join(breaches), pytrace=False)


# Rules for every module ----------------------------------------------------------------------------------------------


def test_every_module_opens_with_a_docstring() -> None:
    breaches = [at(path, 1) for path in MODULES + TESTS if path.stat().st_size and not ast.get_docstring(parse(path))]
    refuse(breaches, "A module says in its first line what it is for, so that a reader knows whether to read on:")


def test_a_file_holds_one_idea() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    breaches = [f"{at(path, 1)} has {lines} lines" for path, lines in lengths.items() if lines > LONGEST_FILE_LINES]
    refuse(breaches, f"A file over {LONGEST_FILE_LINES} lines holds two ideas; split it along them:")


def test_a_function_fits_on_a_screen() -> None:
    breaches = []
    for path in MODULES:
        for function in functions(parse(path)):
            lines = lines_of(function)
            if lines > LONGEST_FUNCTION_LINES:
                breaches.append(f"{at(path, function)} {function.name} has {lines} lines")
    refuse(breaches, f"A function over {LONGEST_FUNCTION_LINES} lines, docstring aside, cannot be read at one glance:")


def test_no_file_names_a_path_of_one_machine() -> None:
    breaches = []
    for path in text_files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if found := MACHINE_PATH.search(line):
                breaches.append(f"{at(path, number)} {found.group()}")
    refuse(breaches, "A path of one machine is wrong on every other; name it relative to the checkout:")


# Rules for node logic: one seed, one run ------------------------------------------------------------------------------


def test_node_logic_never_walks_a_set() -> None:
    breaches = [at(path, node) for path in NODE_LOGIC for node in set_walks(parse(path))]
    refuse(breaches, "The order of a set differs from run to run, and so would the messages; use a dict or sorted():")


def test_node_logic_never_calls_hash_or_id() -> None:
    breaches = [
        f"{at(path, node)} {node.func.id}()"
        for path in NODE_LOGIC
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("hash", "id")
    ]
    refuse(breaches, "hash() and id() differ from process to process; use hashlib, or a number of the node's own:")


def test_a_time_names_its_unit() -> None:
    breaches = [f"{at(path, node)} {name}" for path in NODE_LOGIC for name, node in unitless_times(parse(path))]
    refuse(
        breaches, "A bare number of time invites a mistake of a thousand; write timeout_ns, or annotate Nanoseconds:"
    )


def test_every_axis_is_kept_apart_from_the_others() -> None:
    axes = {
        f"kvsim.strategies.{folder.name}"
        for folder in (ROOT / "kvsim" / "strategies").iterdir()
        if (folder / "__init__.py").exists()
    }
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    [listed] = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    assert set(listed) == axes, "a new axis joins the independence contract in pyproject.toml, or nobody guards it"


# The rules themselves can fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "for x in {1, 2}: pass",
        "y = [x for x in set(z)]",
        "y = {x: 1 for x in frozenset(z)}",
        "def f(peers: set[str]):\n    for p in peers: pass",
        "def f():\n    peers = set()\n    return list(peers)",
        "def f(a, b):\n    left: frozenset[str] = a\n    return [*left]",
        "class A:\n    def __init__(self): self.peers = set()\n    def f(self):\n        for p in self.peers: pass",
        "def f(a):\n    seen = {x for x in a}\n    return ','.join(seen)",
        "class A:\n    peers: set[str]\n    def f(self):\n        return tuple(self.peers)",
        "def f(a: set[int], b: set[int]):\n    for x in a | b: pass",
        "def f(a: dict, b: dict):\n    for x in a.keys() - b.keys(): pass",
    ],
)
def test_walking_a_set_is_noticed(code: str) -> None:
    assert list(set_walks(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "def f(peers: set[str]):\n    for p in sorted(peers): pass",
        "def f(peers: set[str]):\n    return len(peers) + max(x for x in peers)",
        "def f(peers: set[str]):\n    return {x + 1 for x in peers}",
        "def f(peers: set[str]):\n    return 'a' in peers",
        "def f(a: int, b: dict[int, int]):\n    return [x for x in b if a | x]",
        "def f():\n    peers = set()\n    return peers\ndef g(peers: list[str]):\n    return list(peers)",
    ],
)
def test_harmless_uses_of_a_set_pass(code: str) -> None:
    assert not list(set_walks(ast.parse(code)))


def test_a_time_without_a_unit_is_noticed() -> None:
    code = "election_timeout = 3\ndef f(delay: int, delay_ns: int, interval: Nanoseconds): self.timeout = 4"
    assert {name for name, _ in unitless_times(ast.parse(code))} == {"election_timeout", "delay", "timeout"}


def test_a_machine_path_is_noticed() -> None:
    folder = "/" + "home" + "/ada/kvsim"
    assert MACHINE_PATH.search(f"see {folder}")
    assert not MACHINE_PATH.search(f"https://example.org{folder}")


# How the rules look ---------------------------------------------------------------------------------------------------


def text_files() -> Iterator[Path]:
    """Whatever git tracks or would track, as far as it is text."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listing.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in path.read_bytes()[:8192]:
            yield path


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_docstring and ast.get_docstring(function) else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def unitless_times(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.walk(tree):
        match node:
            case ast.arg():
                named = [(node.arg, node.annotation)]
            case ast.AnnAssign():
                named = [(last_name(node.target), node.annotation)]
            case ast.Assign():
                named = [(last_name(target), None) for target in node.targets]
            case _:
                continue
        for name, annotation in named:
            has_unit = annotation is not None and DURATION_TYPE.search(ast.unparse(annotation))
            if DURATION_NAME.search(name) and not has_unit:
                yield name, node


def last_name(target: ast.expr) -> str:
    return ast.unparse(target).rpartition(".")[2]
