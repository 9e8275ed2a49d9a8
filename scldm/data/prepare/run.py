"""`scldm prepare`: all shards of a source, by several processes or a cluster, and the store."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scldm.core.artifact import read_json, staged, write_json
from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.data.prepare.item import Item, Recipe, Source
from scldm.data.prepare.shards import Report, make_shard, read_report, text_columns
from scldm.data.store import FORMAT, MANIFEST, shard_file


def prepare(
    source: Source, recipe: Recipe, store: Path, jobs: int = 1, device: str = "cpu",
    strict: bool = False,
) -> Counter[str]:
    """Prepare a source into `store`; what is there of an earlier call stays.

    Returns how many clips were used, by "used", and skipped, by reason. The finished store is the
    same to the byte however often the work was interrupted and however many processes shared it.

    Args:
        jobs: processes. Within `joblib.parallel_config` another backend may run them.
        strict: a skipped clip is an error.

    Raises InputError where the store is of another source or recipe, another process writes to it,
    no clip is of use, or one is skipped and `strict`.
    """
    store.mkdir(parents=True, exist_ok=True)
    with _alone(store):
        plan = _plan(source, recipe)
        _begin(store, plan)
        totals: Counter[str] = Counter()
        with Progress("preparing", plan["clips"]) as bar:
            for report in _reports(source, recipe, store, jobs, device):
                for key, reason, detail in report.skipped:
                    told = f"{key}: {reason}{detail and ': '}{detail}"
                    if strict:
                        raise InputError(told)
                    print(f"skipped {told}", file=sys.stderr)
                totals.update(["used"] * len(report.used))
                totals.update(reason for _, reason, _ in report.skipped)
                bar.update(len(report.used) + len(report.skipped))
        if not totals["used"]:
            reasons = ", ".join(f"{n} {reason}" for reason, n in totals.most_common() if n)
            raise InputError(f"{store}: no clip could be used: {reasons}")
        _finish(store, plan, totals, text_columns(source.columns))
    return totals


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Hold the store's folder; the system lets go of it when this process ends, however it ends."""
    folder = os.open(store, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise InputError(f"{store}: another process is preparing it") from None
    finally:
        os.close(folder)


def _plan(source: Source, recipe: Recipe) -> dict[str, Any]:
    digest, clips = hashlib.sha256(), 0
    for item in source.items():
        digest.update(_told(item).encode())
        clips += 1
    return {
        "format": FORMAT, "kind": source.kind, "clips": clips,
        "recipe": recipe.model_dump(mode="json"), "digest": digest.hexdigest()[:16],
    }


def _told(item: Item) -> str:
    """What decides what becomes of a clip; of its files the names and sizes."""
    paths = [path for path in (item.sound, item.film, *item.pictures) if path]
    files = [(path.name.encode(errors="backslashreplace").decode(), _size(path)) for path in paths]
    part = (item.start, item.end, item.at, item.points, item.paired)
    return json.dumps([item.key, item.person, part, sorted(item.facts.items()), files])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _begin(store: Path, plan: dict[str, Any]) -> None:
    """Write the plan, or check that it is the one that is there."""
    known = store / "plan.json"
    if not known.is_file():
        strange = [name for name in sorted(os.listdir(store)) if not name.startswith(".")]
        if strange:
            raise InputError(f"{store}: is not empty ({strange[0]}); choose another folder")
        write_json(known, plan)
    there = read_json(known)
    if there.get("format") != FORMAT:
        raise InputError(f"{store}: a store of format {there.get('format')}, and this scldm writes "
                         f"format {FORMAT}; install another one, or choose another folder")
    changed = [name for name, value in plan.items() if there.get(name) != value]
    if changed:
        what = {"digest": "clips"}.get(changed[0], changed[0])
        raise InputError(f"{store}: holds a store of other {what}; choose another folder")


def _reports(
    source: Source, recipe: Recipe, store: Path, jobs: int, device: str
) -> Iterator[Report]:
    """Reports of all shards in order; those that are missing are made."""
    from joblib import Parallel, delayed

    def work() -> Iterator[object]:
        for number, items in enumerate(_batches(source.items(), recipe.items)):
            yield delayed(_shard)(number, items, recipe, source.columns, store, device)

    # No more than twice the processes' shards are listed ahead: memory stays flat.
    yield from Parallel(n_jobs=jobs, return_as="generator", batch_size=1)(work())


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while batch := list(itertools.islice(items, size)):
        yield batch


def _shard(
    number: int, items: list[Item], recipe: Recipe, further: tuple[str, ...], store: Path,
    device: str,
) -> Report:
    there = read_report(store, number)
    return there or make_shard(number, items, recipe, further, store, device)


def _finish(
    store: Path, plan: dict[str, Any], totals: Counter[str], columns: tuple[str, ...]
) -> None:
    """Write the manifest, the list of what was skipped, and the totals, shard by shard."""
    import csv

    import pyarrow as pa
    from pyarrow import parquet

    shards = -(-plan["clips"] // plan["recipe"]["items"])
    schema = pa.schema([(name, pa.string()) for name in (*columns, "shard", "row")])
    rows = 0
    with staged(store / MANIFEST) as part, parquet.ParquetWriter(part, schema) as writer:
        for number in range(shards):
            with pa.memory_map(str(shard_file(store, number, ".arrow"))) as file:
                table = pa.ipc.open_file(file).read_all().select(list(columns))
                count = len(table)
                table = table.append_column("shard", pa.array([str(number)] * count, pa.string()))
                table = table.append_column("row", pa.array(map(str, range(count)), pa.string()))
                writer.write_table(table)
                rows += count
    with staged(store / "skipped.csv") as part, part.open("w", newline="") as text:
        lines = csv.writer(text)
        lines.writerow(("clip", "reason", "details"))
        for number in range(shards):
            report = read_report(store, number)
            lines.writerows(report.skipped if report else ())
    write_json(store / "store.json", {
        "format": FORMAT, "shards": shards, "rows": rows, "clips": plan["clips"],
        "used": totals["used"],
        "skipped": {key: totals[key] for key in sorted(totals) if key != "used"},
    })
