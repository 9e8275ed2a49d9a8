"""A packed store: shards of samples as Arrow files, and the manifest of all of them.

    STORE/plan.json            what was prepared, and how
    STORE/shards/000000.arrow  samples: text columns, `audio_bytes` (FLAC), `face_bytes` (JPEG)
    STORE/shards/000000.json   which clips they come from, and why others were skipped
    STORE/manifest.parquet     the text columns of all shards, with `shard` and `row`
    STORE/skipped.csv          the clips that were skipped, and why
    STORE/store.json           format and totals; written last

A shard is mapped into memory: any row is read without the others. What lies in a store is decoded
in this process, since preparation has written it; open stores of people you trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scldm.core.artifact import read_json
from scldm.core.errors import InputError

FORMAT = 1
MANIFEST = "manifest.parquet"


def is_store(path: str | Path) -> bool:
    """Whether `path` is the folder of a store, finished or not."""
    return (Path(path) / "plan.json").is_file()


def require_finished(path: Path) -> dict[str, Any]:
    """The totals of a store; InputError where it is not finished, or of a newer format."""
    if not (path / "store.json").is_file():
        raise InputError(f"{path}: its preparation is not finished; give the same command again")
    facts = read_json(path / "store.json")
    if facts.get("format") != FORMAT:
        raise InputError(f"{path}: a store of format {facts.get('format')}, and this scldm reads "
                         f"format {FORMAT}; install a newer one")
    return dict(facts)


def shard_file(store: Path, number: int, suffix: str) -> Path:
    """Path of a shard's samples (".arrow") or report (".json")."""
    return store / "shards" / f"{number:06d}{suffix}"
