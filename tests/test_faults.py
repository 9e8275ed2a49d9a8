"""A disk that fills, or a kill, at any sync or rename of any command: the same command mends it."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from scldm.cli import main
from scldm.core import artifact

OUTPUTS = {  # what each command leaves that matters
    "population": ["people"], "pretrain": ["pretrain/encoders"], "prior": ["p.safetensors"],
    "train": ["train/checkpoint"], "generate": ["out/voice"],
}  # fmt: skip


def words(command: str, chain: Path, population: Path, clip: Path, folder: Path) -> list[str]:
    """The command's arguments; all that it writes is below `folder`."""
    if command in ("pretrain", "train"):
        values = yaml.safe_load((chain / f"{command}.yaml").read_text())
        (folder / "config.yaml").write_text(
            yaml.safe_dump({**values, "out": str(folder / command)})
        )
    return {
        "population": ["population", "--people", "2", "--out", str(folder / "people")],
        "pretrain": ["pretrain", str(folder / "config.yaml")],
        "prior": ["prior", "--checkpoint", str(chain / "pretrain" / "encoders"), "--count", "4",
                  "--faces", str(population), "--out", str(folder / "p.safetensors")],
        "train": ["train", str(folder / "config.yaml")],
        "generate": ["generate", str(clip), "--out", str(folder / "out"), "--portraits", "2",
                     "--checkpoint", str(chain / "train" / "checkpoint")],
    }[command]  # fmt: skip


def run(argv: list[str], fail_at: int, fail: Callable[[], None]) -> tuple[int, int]:
    """(wait status, syncs and renames done) of the command in a child whose `fail_at`th fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        done = 0

        def watched(real: Callable[..., None]) -> Callable[..., None]:
            def call(*args: object) -> None:
                nonlocal done
                done += 1
                os.write(writer, b".")
                if done == fail_at:
                    fail()
                real(*args)

            return call

        artifact.os.fsync, artifact.os.replace = watched(os.fsync), watched(os.replace)  # type: ignore[assignment]
        status = 99
        try:
            status = main(argv)
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as marks:
        count = len(marks.read())
    return os.waitpid(child, 0)[1], count


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def contents(folder: Path, command: str) -> dict[str, str]:
    """Hashes of the files that the command is for; of a picture, its pixels."""
    roots = [folder / name for name in OUTPUTS[command]]
    files = [f for root in roots for f in ([root] if root.is_file() else root.rglob("*"))]
    return {
        f.relative_to(folder).as_posix(): hashlib.sha256(
            Image.open(f).tobytes() if command == "generate" else f.read_bytes()
        ).hexdigest()
        for f in files if f.is_file() and f.name not in ("facts.json", "hashes.json")
        and not f.name.startswith(".")  # what a killed process leaves is hidden
    }  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("command", OUTPUTS)
def test_the_same_command_mends_a_fault_at_any_point(
    command: str, chain: Path, population: Path, clip: Path, tmp_path: Path
) -> None:
    clean = tmp_path / "clean"
    clean.mkdir()
    status, total = run(words(command, chain, population, clip, clean), 0, kill)
    wanted = contents(clean, command)
    assert status == 0 and total and wanted
    folder = tmp_path / "faulty"
    for fail in (full, kill):
        for point in range(1, total + 1, 1 if total < 20 else 4):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            argv = words(command, chain, population, clip, folder)
            status, _ = run(argv, point, fail)
            if fail is full:
                assert os.waitstatus_to_exitcode(status) == 2, point
                assert not list(folder.rglob(".*.part")), point
            else:
                assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, point
            found = contents(folder, command)
            assert found in ({}, wanted) or (  # whole or not there; portraits one by one
                command == "generate" and found.items() <= wanted.items()
            ), point
            if command == "population" and found:
                continue  # a folder that is used is refused
            assert run(argv, 0, kill)[0] == 0, point
            assert contents(folder, command) == wanted, point
            assert not [f for end in ("part", "old") for f in folder.rglob(f".*.{end}")], point
