"""The publishers' archives: which are needed, checked, and unpacked as untrusted."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bed.common import Options
from scldm.core.errors import InputError


@dataclass(frozen=True)
class Archive:
    """A publisher's file: its name, size in words, address and published MD5 (None: none is)."""

    name: str
    size: str
    address: str
    md5: str | None = None

    def __str__(self) -> str:
        checksum = f"md5 {self.md5}" if self.md5 else "no published checksum"
        return f"{self.name} | {self.size} | {self.address} | {checksum}"


DRIVE, SLR = "https://drive.google.com/file/d/{}/view", "https://www.openslr.org/resources/{}"
NARROW, WIDE, *LABELS = (
    Archive(f"fairface{name}", size, DRIVE.format(key)) for name, size, key in (
        ("-img-margin025-trainval.zip", "about 0.6 GB", "1Z1RqRo0_JiavaZw2yzZG6WETdZQ8qX86"),
        ("-img-margin125-trainval.zip", "about 2 GB", "1g7qNOZz9wC7OfOhcPqH1EZ5bk1UFGmlL"),
        ("_label_train.csv", "about 3 MB", "1i1L3Yqwaio7YSOCj7ftgk8ZZchPG7dmH"),
        ("_label_val.csv", "under 1 MB", "1wOdja-ezstMEp81tX1a-EYkFebev4h7D"),
    ))
OCEAN = Archive("speechocean762.tar.gz", "about 0.5 GB", SLR.format("101/speechocean762.tar.gz"))
LIBRISPEECH = {
    subset: Archive(f"{subset}.tar.gz", size, SLR.format(f"12/{subset}.tar.gz"), md5)
    for subset, size, md5 in (
        ("train-clean-100", "6.3 GB", "2a93770f6d5c6c964bc36631d331a522"),
        ("dev-clean", "337 MB", "42e2234ba48799c1f50f24a7926300a1"),
        ("dev-other", "314 MB", "c8d0bcc9cca99d4f8b62fcc847357931"),
        ("test-clean", "346 MB", "32fa31d27d2e1cad72775fee3f4849a9"),
        ("test-other", "328 MB", "fb5a50374b501bb3bac4815ee91d3135"),
    )}


def wanted(part: str, options: Options) -> list[Archive]:
    """The archives a part is made of; FairFace's wide images serve where the narrow ones lack."""
    if part == "speech":
        return [OCEAN, *(LIBRISPEECH[subset] for subset in options.librispeech)]
    narrow, wide = ((options.downloads / a.name).exists() for a in (NARROW, WIDE))
    return [WIDE if wide and not narrow else NARROW, *LABELS]


def verify(path: Path, archive: Archive) -> dict[str, Any]:
    """Read the file once; its facts, or InputError where the published MD5 is another."""
    print(f"checking {archive.name}", flush=True)
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            md5.update(block)
            sha256.update(block)
    if archive.md5 and md5.hexdigest() != archive.md5:
        raise InputError(f"{path}: md5 {md5.hexdigest()} is not the published {archive.md5}; "
                         f"download it again from {archive.address}")
    return {"name": archive.name, "address": archive.address, "bytes": path.stat().st_size,
            "sha256": sha256.hexdigest(), "published_md5": archive.md5}


def check_archives(parts: Sequence[str], options: Options) -> dict[str, list[dict[str, Any]]]:
    """Facts of every archive by part; InputError after naming all that are missing."""
    needed = {part: wanted(part, options) for part in parts}
    missing = [archive for archives in needed.values() for archive in archives
               if not (options.downloads / archive.name).is_file()]
    for archive in missing:
        print(f"missing: {archive}", flush=True)
    if missing:
        raise InputError(f"{options.downloads}: lacks {len(missing)} archive(s), named above; "
                         "download them into it and run this again")
    return {part: [verify(options.downloads / a.name, a) for a in archives]
            for part, archives in needed.items()}


def extract(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz within `folder`; InputError for links, for names that lead outside, and
    for contents out of proportion to the archive."""
    room = 5 * archive.stat().st_size + 2**26

    def guard(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo | None:
        nonlocal room
        room -= member.size
        if room < 0 or member.issym() or member.islnk():
            fault = "unpacks to far more than its size" if room < 0 else "holds a link"
            raise InputError(f"{archive}: {fault}; download it from its publisher again")
        return tarfile.data_filter(member, target)

    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(folder, filter=guard)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{archive}: not a usable archive ({error}); download it again") from error
