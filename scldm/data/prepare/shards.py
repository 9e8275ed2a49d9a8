"""A shard: the samples of a few clips, written whole, a pure function of the clips."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scldm.core.artifact import staged, write_text
from scldm.data.manifest import COLUMNS, POINTS
from scldm.data.prepare.clip import samples
from scldm.data.prepare.item import Item, Recipe, Skip
from scldm.data.store import shard_file

TOLD = ("item", "start", "time", "picture", "box", "square", "choice", "certainty")


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of the clips of a shard.

    Attributes:
        number: the shard's.
        rows: samples in it.
        used: keys of the clips that gave samples.
        skipped: (key, reason, details) of the others.
    """

    number: int
    rows: int
    used: tuple[str, ...]
    skipped: tuple[tuple[str, str, str], ...]


def text_columns(further: Sequence[str]) -> tuple[str, ...]:
    """Names of the text columns of a store, with the source's further ones."""
    return tuple(dict.fromkeys((*COLUMNS, *further, *TOLD, *POINTS)))


def make_shard(
    number: int, items: Sequence[Item], recipe: Recipe, further: Sequence[str], store: Path,
    device: str,
) -> Report:
    """Prepare clips and write their shard and its report, in one thread; the report is last."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the same bits, however many work beside each other
    rows: list[dict[str, Any]] = []
    used: list[str] = []
    skipped: list[tuple[str, str, str]] = []
    try:
        for item in items:
            try:
                rows += samples(item, recipe, device)
                used.append(item.key)
            except Skip as skip:
                skipped.append((item.key, skip.reason, skip.detail))
    finally:
        torch.set_num_threads(before)
    _write(shard_file(store, number, ".arrow"), rows, text_columns(further))
    report = Report(number, len(rows), tuple(used), tuple(skipped))
    text = json.dumps(dataclasses.asdict(report), ensure_ascii=False, indent=1)
    write_text(shard_file(store, number, ".json"), text + "\n")
    return report


def read_report(store: Path, number: int) -> Report | None:
    """The report of a shard that is there, otherwise None."""
    if not shard_file(store, number, ".arrow").is_file():
        return None
    try:
        told = json.loads(shard_file(store, number, ".json").read_text(encoding="utf-8"))
        skipped = tuple((key, reason, detail) for key, reason, detail in told["skipped"])
        return Report(told["number"], told["rows"], tuple(told["used"]), skipped)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    import pyarrow as pa

    arrays: dict[str, Any] = {
        name: pa.array([row.get(name, "") for row in rows], pa.string()) for name in columns
    }
    for name in ("audio_bytes", "face_bytes"):
        arrays[name] = pa.array([row.get(name) for row in rows], pa.large_binary())
    batch = pa.record_batch(arrays)
    with (
        staged(path) as part,
        pa.OSFile(str(part), "wb") as file,
        pa.ipc.new_file(file, batch.schema) as writer,
    ):
        writer.write_batch(batch)
