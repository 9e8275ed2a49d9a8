"""How fast formats give samples back: loose files, tar shards, Parquet and Arrow.

    python scripts/measure_store.py --out docs/results/data

Writes store.md: samples a second read in order, shuffled, and shuffled by two processes. A sample
is 30 kB of a face and 110 kB of six seconds, random bytes; files are in the page cache.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from scldm.core.artifact import write_text
from scldm.core.run import device_name

FACE, CLIP, SHARD = 30_000, 110_000, 100
Read = Callable[[Path, Iterable[int]], int]


def pieces(count: int) -> Iterable[tuple[bytes, bytes]]:
    rng = np.random.default_rng(0)
    return ((rng.bytes(FACE), rng.bytes(CLIP)) for _ in range(count))


def write_loose(folder: Path, count: int) -> None:
    for n, (face, clip) in enumerate(pieces(count)):
        (folder / f"{n}.jpg").write_bytes(face)
        (folder / f"{n}.flac").write_bytes(clip)


def read_loose(folder: Path, order: Iterable[int]) -> int:
    return sum(
        len((folder / f"{n}.jpg").read_bytes()) + len((folder / f"{n}.flac").read_bytes())
        for n in order
    )


def write_tar(folder: Path, count: int) -> None:
    import io

    for shard, part in enumerate(_shards(count)):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for n, face, clip in part:
                for end, data in (("jpg", face), ("flac", clip)):
                    info = tarfile.TarInfo(f"{n}.{end}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def read_tar(folder: Path, order: Iterable[int]) -> int:
    """As loaders of WebDataset do: a shard is read from its beginning; shuffled, by its index."""
    total, tars = 0, dict[int, tarfile.TarFile]()
    for n in order:
        if n // SHARD not in tars:
            tars[n // SHARD] = tarfile.open(folder / f"{n // SHARD}.tar")  # noqa: SIM115
        tar = tars[n // SHARD]
        for end in ("jpg", "flac"):
            file = tar.extractfile(f"{n}.{end}")
            total += len(file.read()) if file else 0
    return total


def write_parquet(folder: Path, count: int) -> None:
    for shard, table in enumerate(_tables(count)):
        parquet.write_table(table, folder / f"{shard}.parquet", compression="none",
                            row_group_size=10)


def read_parquet(folder: Path, order: Iterable[int]) -> int:
    total, files = 0, dict[int, Any]()
    last: tuple[int, Any] = (-1, None)
    for n in order:
        if n // SHARD not in files:
            files[n // SHARD] = parquet.ParquetFile(folder / f"{n // SHARD}.parquet")
        if last[0] != n // 10:
            last = (n // 10, files[n // SHARD].read_row_group(n % SHARD // 10))
        total += sum(len(last[1].column(c)[n % 10].as_py()) for c in ("face", "clip"))
    return total


def write_arrow(folder: Path, count: int) -> None:
    for shard, table in enumerate(_tables(count)):
        path = str(folder / f"{shard}.arrow")
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)


def read_arrow(folder: Path, order: Iterable[int]) -> int:
    total, batches = 0, dict[int, Any]()
    for n in order:
        if n // SHARD not in batches:
            file = pa.memory_map(str(folder / f"{n // SHARD}.arrow"))
            batches[n // SHARD] = pa.ipc.open_file(file).get_batch(0)
        batch = batches[n // SHARD]
        total += sum(len(batch.column(c)[n % SHARD].as_py()) for c in ("face", "clip"))
    return total


def _shards(count: int) -> Iterable[list[tuple[int, bytes, bytes]]]:
    part = []
    for n, (face, clip) in enumerate(pieces(count)):
        part.append((n, face, clip))
        if len(part) == SHARD or n == count - 1:
            yield part
            part = []


def _tables(count: int) -> Iterable[pa.Table]:
    for part in _shards(count):
        yield pa.table({"face": pa.array([p[1] for p in part], pa.large_binary()),
                        "clip": pa.array([p[2] for p in part], pa.large_binary())})


FORMATS: dict[str, tuple[Callable[[Path, int], None], Read]] = {
    "loose files": (write_loose, read_loose), "tar shards": (write_tar, read_tar),
    "Parquet, groups of 10": (write_parquet, read_parquet),
    "Arrow, mapped": (write_arrow, read_arrow),
}


def rate(read: Read, folder: Path, order: np.ndarray, processes: int = 1) -> float:
    """Samples a second, the best of three."""
    best = 0.0
    with ProcessPoolExecutor(processes) as pool:
        for _ in range(3):
            began = time.perf_counter()
            parts = np.array_split(order, processes)
            done = sum(pool.map(read, [folder] * processes, parts))
            assert done == len(order) * (FACE + CLIP)
            best = max(best, len(order) / (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=3000)
    args = parser.parse_args()
    ordered = np.arange(args.samples)
    shuffled = np.random.default_rng(1).permutation(ordered)
    lines = ["| format | in order | shuffled | shuffled, two processes |", "|---|---:|---:|---:|"]
    for name, (write, read) in FORMATS.items():
        with tempfile.TemporaryDirectory() as place:
            write(Path(place), args.samples)
            rates = [rate(read, Path(place), ordered), rate(read, Path(place), shuffled),
                     rate(read, Path(place), shuffled, 2)]
        lines.append(f"| {name} | " + " | ".join(f"{x:,.0f}" for x in rates) + " |")
        print(lines[-1], flush=True)
    note = f"\nSamples a second, {args.samples} samples of 140 kB. {device_name()}. Made by\n"
    command = f"`python scripts/measure_store.py --samples {args.samples} --out {args.out}`\n"
    write_text(args.out / "store.md", "\n".join(lines) + "\n" + note + command)


if __name__ == "__main__":
    main()
