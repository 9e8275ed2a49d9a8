"""Preparation is exact: killed anywhere and shared by anybody, it ends with the same bytes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scldm.cli import main
from scldm.core.artifact import read_json, write_json
from scldm.core.errors import InputError
from scldm.data.manifest import read_manifest
from scldm.data.prepare.cluster import backend
from scldm.data.prepare.item import Item, Recipe, Source
from scldm.data.prepare.run import prepare
from scldm.data.prepare.sources import table
from scldm.data.samples import open_samples

RECIPE = Recipe(items=3, size=64)


@pytest.fixture(scope="session")
def source(population: Path) -> Source:
    """Ten rows of the population: eight that are used, and two that name missing files."""
    whole = table(population)

    def items() -> Iterator[Item]:
        for number, item in zip(range(10), whole.items(), strict=False):
            assert item.sound
            bad = item.sound.with_name("missing.flac") if number in (2, 7) else item.sound
            yield replace(item, sound=bad)

    return Source("manifest", items, whole.columns)


@pytest.fixture(scope="session")
def wanted(source: Source, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a store that was prepared in one go."""
    store = tmp_path_factory.mktemp("whole") / "store"
    totals = prepare(source, RECIPE, store)
    assert totals == {"used": 8, "cannot be decoded": 2}
    return tree(store)


def tree(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def test_a_store_holds_shards_a_manifest_and_the_totals(wanted: dict[str, bytes]) -> None:
    shards = {f"shards/{n:06d}.{end}" for n in range(4) for end in ("arrow", "json")}
    assert {*wanted} == {"plan.json", "store.json", "manifest.parquet", "skipped.csv", *shards}
    assert not any(b"/tmp" in data for data in wanted.values())


@pytest.mark.parametrize("jobs", [1, 2])
def test_several_processes_write_the_same_bytes(
    jobs: int, source: Source, wanted: dict[str, bytes], tmp_path: Path
) -> None:
    prepare(source, RECIPE, tmp_path / "store", jobs)
    assert tree(tmp_path / "store") == wanted
    prepare(source, RECIPE, tmp_path / "store", jobs)
    assert tree(tmp_path / "store") == wanted


POINTS = [("os.replace", 3), ("os.fsync", 5), ("os.replace", 10)]
POINTS += [pytest.param("os.replace", n, marks=pytest.mark.full) for n in range(12)]
POINTS += [pytest.param("os.fsync", n, marks=pytest.mark.full) for n in range(24)]


@pytest.mark.parametrize(("call", "after"), POINTS)
def test_a_full_disk_anywhere_loses_nothing(
    call: str, after: int, source: Source, wanted: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, done, real = tmp_path / "store", [0], getattr(os, call.split(".")[1])

    def full(*args: object) -> object:
        done[0] += 1
        if done[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(f"scldm.core.artifact.{call}", full)
        with pytest.raises(InputError, match="No space left on device"):
            prepare(source, RECIPE, store)
    assert tree(store).items() <= wanted.items()  # no half files
    prepare(source, RECIPE, store)
    assert tree(store) == wanted


def command(population: Path, store: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "scldm", "prepare", "manifest", str(population), "--out",
            str(store), "--recipe", "items=3", "size=64", *more]


@pytest.mark.full
def test_sigkill_at_many_points_ends_with_the_same_bytes(population: Path, tmp_path: Path) -> None:
    whole, store = tmp_path / "whole", tmp_path / "store"
    subprocess.run(command(population, whole), check=True)
    kills = 0
    while not (store / "store.json").exists():
        process = subprocess.Popen(command(population, store, "--jobs", "2"),
                                   start_new_session=True)
        shards = len(list(store.glob("shards/*.json")))
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(store.glob("shards/*.json"))) > shards + kills % 3:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.01)
        process.wait()
    assert kills >= 4 and tree(store) == tree(whole)


def test_two_writers_at_once_are_refused(source: Source, tmp_path: Path) -> None:
    store = tmp_path / "store"

    def items() -> Iterator[Item]:
        with pytest.raises(InputError, match="another process is preparing it"):
            prepare(source, RECIPE, store)
        yield from source.items()

    assert prepare(replace(source, items=items), RECIPE, store)["used"] == 8


def test_another_recipe_source_or_folder_is_refused(
    source: Source, wanted: dict[str, bytes], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    prepare(source, RECIPE, store)
    with pytest.raises(InputError, match="holds a store of other recipe; choose another folder"):
        prepare(source, Recipe(items=4, size=64), store)

    def fewer() -> Iterator[Item]:
        yield from list(source.items())[:-1]

    with pytest.raises(InputError, match="holds a store of other clips"):
        prepare(replace(source, items=fewer), RECIPE, store)
    plan = read_json(store / "plan.json")
    write_json(store / "plan.json", {**plan, "format": 2})
    with pytest.raises(InputError, match="a store of format 2, and this scldm writes format 1"):
        prepare(source, RECIPE, store)
    write_json(store / "store.json", {**read_json(store / "store.json"), "format": 2})
    with pytest.raises(InputError, match="a store of format 2, and this scldm reads format 1"):
        read_manifest(store)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters.txt").write_text("dear")
    with pytest.raises(InputError, match=r"is not empty \(letters.txt\)"):
        prepare(source, RECIPE, tmp_path / "mine")


def test_a_damaged_store_is_told(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    prepare(source, RECIPE, store)
    shard = store / "shards" / "000001.arrow"
    shard.write_bytes(shard.read_bytes()[:2000])
    assert main(["data", str(store), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{shard}: missing or damaged" in said


@pytest.mark.full
def test_a_cluster_writes_the_same_bytes_and_outlives_a_worker(
    source: Source, wanted: dict[str, bytes], tmp_path: Path
) -> None:
    """Three worker processes behind a Dask scheduler; one is killed after the first shard."""
    distributed = pytest.importorskip("distributed")
    store = tmp_path / "store"
    cluster = distributed.LocalCluster(n_workers=3, threads_per_worker=1, processes=True,
                                       dashboard_address=None)
    with cluster, backend(cluster.scheduler_address):
        victim = cluster.workers[0].pid if hasattr(cluster.workers[0], "pid") else None
        victim = victim or next(iter(cluster.workers.values())).process.pid

        def items() -> Iterator[Item]:
            for number, item in enumerate(source.items()):
                if number == 4 and (store / "plan.json").exists():
                    os.kill(victim, signal.SIGKILL)
                yield item

        prepare(replace(source, items=items), RECIPE, store, jobs=-1)
    assert tree(store) == wanted


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match="--dask nowhere:1: no answer"), backend("nowhere:1"):
        raise AssertionError("not reached")


def test_a_store_is_read_as_loose_files_are(
    population: Path, tmp_path: Path, make: Callable[..., object]
) -> None:
    """Same rows in the same order; the same waveforms, and faces but for the JPEG's loss."""
    make(table(population))
    loose, packed = open_samples(population), open_samples(tmp_path / "store")
    for column in ("person", "gender", "age_lo", "split", "trait_0"):
        assert list(loose.manifest[column]) == list(packed.manifest[column])
    women = packed.manifest["gender"] == "F"  # columns are read when asked for, whatever is left
    some = packed.manifest.where(women).where(np.array([3, 1]))
    assert list(some["age_lo"]) == list(packed.manifest["age_lo"][women][[3, 1]])
    assert list(some["nothing"]) == ["", ""] and len(some) == 2
    assert some.digest != packed.manifest.digest == open_samples(tmp_path / "store").manifest.digest
    for row in (0, 17):
        assert np.array_equal(loose.speech(row), packed.speech(row))
        one, other = (s.face(row, 48).astype(float) for s in (loose, packed))
        assert np.abs(one - other).mean() < 4
