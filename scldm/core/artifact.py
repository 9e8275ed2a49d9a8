"""Artifacts: files and folders that appear whole, carry their facts, and prove themselves.

Everything here is safetensors and JSON. Nothing is ever unpickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from scldm.core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

HASHES = "hashes.json"


@contextmanager
def staged(path: str | Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder at; publish it by one rename.

    Files are synced first. An exception leaves `path` as it was. An existing folder is moved aside
    for the moment in which its successor takes its name. What killed processes of this machine left
    of `path` goes.
    Raises InputError when the place cannot be written or the disk is full.
    """
    path = Path(path)
    mine = f".{path.name}.{platform.node()}-"
    part, aside = (path.with_name(f"{mine}{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        _remove_rests(path.parent, mine, ".part")
        yield part
        for written in (*part.rglob("*"), part):
            _share(written)
            _sync(written)
        if part.is_dir() and path.exists():
            os.replace(path, aside)
        os.replace(part, path)
        _sync(path.parent)
        _remove_rests(path.parent, mine, ".old")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS,
                           errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
            raise InputError(f"{path}: cannot be written: {error.strerror}") from None
        raise
    except SafetensorError as error:  # how a full disk is told by `save_file`
        raise InputError(f"{path}: cannot be written: {error}") from None
    finally:
        _remove(part)
        if aside.exists() and not path.exists():
            os.replace(aside, path)
        _remove(aside)


def _share(path: Path) -> None:
    """Make a file as readable as its folder: safetensors' writer leaves it to its owner alone."""
    if path.is_file():
        with suppress(OSError):  # a file system without modes
            path.chmod(path.stat().st_mode | path.parent.stat().st_mode & 0o444)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_rests(folder: Path, start: str, end: str) -> None:
    """Remove `start`, the number of a process that is no more, `end`."""
    for name in os.listdir(folder):
        number = name.removeprefix(start).removesuffix(end)
        if name == f"{start}{number}{end}" and number.isdecimal() and not _alive(int(number)):
            _remove(folder / name)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # another user's
        return True
    except ProcessLookupError:
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write a small text file whole."""
    with staged(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raises InputError naming it when it is missing or damaged."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged: {error}") from None


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Sixteen hexadecimal digits that name these tensors: names, shapes, types and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(_bytes()).numpy().tobytes())
    return digest.hexdigest()[:16]


def _bytes() -> Any:
    import torch

    return torch.uint8


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors with `facts` (JSON) in the header as one safetensors file, whole."""
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with staged(path) as part:
        save_file(plain, part, metadata={"facts": json.dumps(dict(facts))})


def load_facts(path: str | Path) -> dict[str, Any]:
    """Read only the facts of a safetensors file; raises InputError as `load_tensors` does."""
    from safetensors import safe_open

    with _clear(path), safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get("facts", "{}"))


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a safetensors file and its facts; raises InputError if missing, damaged or foreign."""
    from safetensors.torch import load_file

    with _clear(path):
        return load_file(path), load_facts(path)


@contextmanager
def _clear(path: str | Path) -> Iterator[None]:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    try:
        yield
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file: {error}") from None


def write_hashes(folder: Path) -> None:
    """Write `hashes.json`: the SHA-256 of every other file below `folder`."""
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != HASHES)
    hashes = {file.relative_to(folder).as_posix(): file_hash(file) for file in files}
    (folder / HASHES).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")


def check_hashes(folder: str | Path) -> dict[str, str]:
    """Compare a folder with its `hashes.json`; InputError names the first file that differs.

    Returns the hashes by relative path.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such checkpoint folder")
    if not (folder / HASHES).is_file():
        raise InputError(f"{folder}: not a checkpoint of this project: {HASHES} is missing")
    hashes: dict[str, str] = read_json(folder / HASHES)
    for name, wanted in hashes.items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"{folder}: the file {name} is missing; fetch the checkpoint again")
        if file_hash(file) != wanted:
            raise InputError(f"{folder}: the file {name} was altered; fetch the checkpoint again")
    return hashes
