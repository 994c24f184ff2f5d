"""Prints the SHA-256 of each golden run's artefacts as JSON; needs of kvsim's libraries only those that simulate."""

import hashlib
import io
import json
from pathlib import Path

from kvsim.lab.artefacts import as_json
from kvsim.lab.experiment import load
from kvsim.lab.run import simulate

HERE = Path(__file__).parent
SEED = 11


def hashes(file: Path) -> dict[str, str]:
    trace = io.BytesIO()
    run = simulate(load(file).setups[0], SEED, trace=trace)
    left = {
        "history.jsonl": run.seen.history.dumps(),
        "metrics.json": as_json(run.metrics),
        "trace.jsonl": trace.getvalue(),
    }
    return {name: hashlib.sha256(data).hexdigest() for name, data in left.items()}


if __name__ == "__main__":
    print(json.dumps({file.stem: hashes(file) for file in sorted(HERE.glob("*.toml"))}, indent=2))
