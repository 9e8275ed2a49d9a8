"""Laws of artifacts: they appear whole or not at all, and they notice what happened to them."""

from __future__ import annotations

import errno
import os
import platform
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from scldm.core import artifact
from scldm.core.artifact import (
    HASHES,
    check_hashes,
    fingerprint,
    load_facts,
    load_tensors,
    read_json,
    save_tensors,
    staged,
    write_hashes,
    write_json,
    write_text,
)
from scldm.core.errors import InputError

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.bfloat16)}


def test_staged_file_appears_under_its_name_alone(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with staged(target) as part:
        part.write_text("one")
        assert not target.exists()
        assert part.parent == target.parent
    assert os.listdir(target.parent) == ["a.txt"]
    assert target.read_text() == "one"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    write_text(tmp_path / "file", "old")
    (tmp_path / "folder").mkdir()
    write_text(tmp_path / "folder" / "inside", "old")
    for name in ("file", "folder"):
        with pytest.raises(error), staged(tmp_path / name) as part:
            if name == "folder":
                part.mkdir()
            (part / "inside" if name == "folder" else part).write_text("half")
            raise error
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "inside").read_text() == "old"


def test_a_folder_replaces_the_whole_of_the_old_one(tmp_path: Path) -> None:
    for names in (("a", "b"), ("c",)):
        with staged(tmp_path / "folder") as part:
            part.mkdir()
            for name in names:
                (part / name).write_text(name)
    assert os.listdir(tmp_path / "folder") == ["c"]


def test_a_folder_whose_successor_fails_at_the_last_moment_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "folder" / "inside", "old")
    rename = os.replace

    def fail(a: Path, b: Path) -> None:
        if a.name.endswith(".part"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(a, b)

    monkeypatch.setattr(artifact.os, "replace", fail)
    with pytest.raises(InputError, match="cannot be written"), staged(tmp_path / "folder") as part:
        part.mkdir()
    assert os.listdir(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "inside").read_text() == "old"


def test_every_file_and_folder_is_synced_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(artifact, "_sync", lambda path: calls.append(path.name))
    rename = os.replace
    monkeypatch.setattr(artifact.os, "replace", lambda a, b: (calls.append("rename"), rename(a, b)))
    with staged(tmp_path / "out") as part:
        (part / "sub").mkdir(parents=True)
        (part / "sub" / "file").write_text("x")
    staging = f".out.{platform.node()}-{os.getpid()}.part"
    assert calls[-2:] == ["rename", tmp_path.name]
    assert set(calls[:-2]) == {"sub", "file", staging}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_full_or_closed_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(path: object) -> None:
        raise OSError(code, os.strerror(code))

    write_text(tmp_path / "a", "old")
    monkeypatch.setattr(artifact.os, "fsync", fail)
    with pytest.raises(InputError, match=f"a: cannot be written: {os.strerror(code)}"):
        write_text(tmp_path / "a", "new")
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


@contextmanager
def ten_kilobytes() -> Iterator[None]:
    """No file may grow beyond 10 kB: a disk that fills while writing.

    Left before the test ends, since pytest's own output may be a file.
    """
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_tensors_that_do_not_fit_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"), ten_kilobytes():
        save_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(10_000)}, {})
    assert os.listdir(tmp_path) == []


def test_a_file_cannot_take_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / "folder", "x")
    write_text(tmp_path / "file", "x")
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / "file" / "below", "x")


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    facts = {"count": 3, "nested": {"text": "ü", "list": [1, 2.5, None]}}
    save_tensors(tmp_path / "a.safetensors", {**TENSORS, "t": TENSORS["b"].T}, facts)
    tensors, found = load_tensors(tmp_path / "a.safetensors")
    assert found == facts == load_facts(tmp_path / "a.safetensors")
    assert torch.equal(tensors["t"], TENSORS["b"].T)
    assert all(torch.equal(tensors[n], x) and tensors[n].dtype == x.dtype
               for n, x in TENSORS.items())  # fmt: skip


def test_rests_of_the_killed_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        try:
            with staged(tmp_path / "file") as part:
                part.write_text("half")
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    host = platform.node()
    assert os.listdir(tmp_path) == [f".file.{host}-{child}.part"]
    others = [f".file.{host}-{os.getppid()}.part", f".file.elsewhere-{child}.part",
              f".file2.{host}-{child}.part", f".file.{host}-x.part"]  # fmt: skip
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / f".file.{host}-{child}.old").mkdir()
    write_text(tmp_path / "file", "whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "file"])


def test_a_file_is_as_readable_as_its_folder(tmp_path: Path) -> None:
    for mode, wanted in ((0o700, 0o400), (0o755, 0o444)):
        folder = tmp_path / oct(mode)
        folder.mkdir(mode)
        save_tensors(folder / "a.safetensors", {"x": torch.zeros(1)}, {})
        assert (folder / "a.safetensors").stat().st_mode & 0o444 == wanted


@pytest.mark.parametrize("keep", [0, 4, 20, -1])
def test_a_truncated_or_missing_tensor_file_is_one_line(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:keep])
    for read in (load_tensors, load_facts):
        with pytest.raises(InputError, match="not a whole safetensors file") as caught:
            read(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        load_tensors(path)


def test_the_fingerprint_is_of_names_values_types_and_shapes() -> None:
    one = fingerprint(TENSORS)
    assert len(one) == 16 and int(one, 16) >= 0
    assert fingerprint(dict(reversed(TENSORS.items()))) == one
    changed = TENSORS["b"].clone()
    changed[0, 1] = torch.nextafter(changed[0, 1], torch.tensor(9.0))
    others = [
        {**TENSORS, "b": changed},
        {**TENSORS, "b": TENSORS["b"].double()},
        {**TENSORS, "b": TENSORS["b"].view(torch.int32)},  # the same bytes
        {**TENSORS, "b": TENSORS["b"].reshape(3, 2)},
        {"a": TENSORS["a"], "c": TENSORS["b"]},
        {"a": TENSORS["a"]},
        {**TENSORS, "z": torch.zeros(0, 3)},
        {**TENSORS, "z": torch.zeros(())},
    ]
    assert len({one, *map(fingerprint, others)}) == len(others) + 1


def test_the_fingerprint_does_not_see_the_layout_in_memory() -> None:
    image = torch.randn(2, 3, 4, 4)
    last = image.contiguous(memory_format=torch.channels_last)
    assert fingerprint({"a": image}) == fingerprint({"a": last})


def checkpoint(folder: Path) -> Path:
    write_text(folder / "sub" / "weights", "abc")
    write_json(folder / "facts.json", {"a": 1})
    write_hashes(folder)
    return folder


def test_hashes_name_what_was_altered_or_lost(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "c")
    assert sorted(check_hashes(folder)) == ["facts.json", "sub/weights"]
    (folder / "sub" / "weights").write_text("abd")
    with pytest.raises(InputError, match="the file sub/weights was altered"):
        check_hashes(folder)
    (folder / "sub" / "weights").unlink()
    with pytest.raises(InputError, match="the file sub/weights is missing"):
        check_hashes(folder)
    (folder / HASHES).write_text("{")
    with pytest.raises(InputError, match="hashes.json: damaged"):
        check_hashes(folder)
    (folder / HASHES).unlink()
    with pytest.raises(InputError, match="not a checkpoint of this project"):
        check_hashes(folder)
    with pytest.raises(InputError, match="no such checkpoint folder"):
        check_hashes(tmp_path / "none")


def test_json_comes_back_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"ü": [1, None]})
    assert read_json(path) == {"ü": [1, None]}
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="a.json: damaged"):
        read_json(path)
    path.write_bytes(b"\xff\xff")
    with pytest.raises(InputError, match="a.json: damaged"):
        read_json(path)
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "b.json")
