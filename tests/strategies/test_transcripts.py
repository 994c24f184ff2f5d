"""Every strategy's transcripts say what its nodes do. `pytest --update` writes them anew: read the difference."""

from pathlib import Path

import pytest

from kvsim.testing.transcript import rerun

HERE = Path(__file__).parent
TRANSCRIPTS = sorted(HERE.glob("*/*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_nodes_do_what_the_transcript_says(path: Path, pytestconfig: pytest.Config) -> None:
    written = path.read_text(encoding="utf-8")
    now = rerun(written, f"{path.parent.name}/{path.name}")
    if pytestconfig.getoption("update") and now != written:
        path.write_text(now, encoding="utf-8")
    else:
        assert now == written
