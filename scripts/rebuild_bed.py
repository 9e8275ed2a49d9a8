"""Rebuild the training bed (faces/, faces.csv, speech/, speech.csv) from the publishers' downloads.

Nothing is downloaded here: a missing archive is named with its address and checksum, and the
archives that are there are checked and read as untrusted. See docs/training-bed.md.

    python scripts/rebuild_bed.py --downloads DIR --out DIR
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bed.archives import LIBRISPEECH, check_archives
from bed.common import Options
from bed.faces import PLACES, build_faces
from bed.speech import build_speech

from scldm.core.errors import InputError

COLUMNS = {
    "faces": ("face", "person", "gender", "age_lo", "age_hi", "split", "crop", "source", "licence",
              "ethnicity", *PLACES),
    "speech": ("audio", "person", "gender", "age_lo", "age_hi", "split", "source", "licence",
               "lang", "text"),
}
BUILDERS = {"faces": build_faces, "speech": build_speech}


def settings(part: str, options: Options) -> dict[str, Any]:
    """What decides a part besides its archives."""
    if part == "faces":
        return {"count": options.count, "seed": options.seed}
    subsets = sorted(options.librispeech)
    return {"clips": options.clips, "librispeech": subsets, "seed": options.seed}


def finished(part: str, staging: Path, options: Options) -> bool:
    """Whether an earlier run left this part whole, with the same settings. A part's facts are
    written last, so they say that the rest is there."""
    facts = staging / f"{part}.json"
    return facts.is_file() and json.loads(facts.read_text())["settings"] == settings(part, options)


def build_part(part: str, options: Options, staging: Path, archives: list[dict[str, Any]]) -> None:
    """Build one part in `staging`: its folder, its table and, last, its facts."""
    work, facts_file = staging / f"{part}.work", staging / f"{part}.json"
    facts_file.unlink(missing_ok=True)
    for stale in (work, staging / part):
        shutil.rmtree(stale, ignore_errors=True)
    (work / part).mkdir(parents=True)
    rows, skipped = BUILDERS[part](options, work)
    if not rows:
        raise InputError(f"{options.downloads}: no usable {part}; skipped: {listed(skipped)}")
    with (staging / f"{part}.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS[part], lineterminator="\n")
        table.writeheader()
        table.writerows(sorted(rows, key=lambda row: row["source"]))
    splits = Counter(row["split"] for row in rows)
    facts = {"settings": settings(part, options), "rows": len(rows), "splits": splits,
             "genders": Counter(row["gender"] for row in rows), "skipped": skipped,
             "archives": archives}
    os.replace(work / part, staging / part)
    (work / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    os.replace(work / "facts.json", facts_file)
    shutil.rmtree(work)
    print(f"{part}: {len(rows):,} rows ({listed(splits)}); skipped: {listed(skipped)}", flush=True)


def listed(counts: Counter[str]) -> str:
    """Names and their counts, the largest first."""
    return ", ".join(f"{name} {n:,}" for name, n in counts.most_common() if n) or "nothing"


def rebuild(options: Options) -> None:
    """Build the parts in a staging folder beside `out`, which then becomes `out` whole."""
    staging = options.out.with_name(options.out.name + ".staging")
    if options.out.exists():
        raise InputError(f"{options.out}: exists already; name another --out or remove it")
    for part in set(BUILDERS) - set(options.parts):
        if (staging / f"{part}.json").exists():
            raise InputError(f"{staging}: holds {part}, which --parts leaves out; name that part "
                             "too, or remove the folder")
    todo = [part for part in options.parts if not finished(part, staging, options)]
    facts = check_archives(todo, options)
    for part in options.parts:
        if part in todo:
            build_part(part, options, staging, facts[part])
        else:
            print(f"{part}: finished earlier, kept", flush=True)
    for stale in staging.glob("*.work"):
        shutil.rmtree(stale)
    os.replace(staging, options.out)
    print(f"{options.out}: ready")


def chosen(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    """The names in a comma-separated list, each once; InputError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            raise InputError(f"{option}: '{name}' is not one of {', '.join(known)}")
    return names


def parse(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(description="Rebuild the training bed from its publishers.")
    parser.add_argument("--downloads", type=Path, required=True, help="folder of the archives")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--parts", default="faces,speech", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=12600, help="faces, default: %(default)s")
    parser.add_argument("--clips", type=int, default=10, help="most clips of a speaker")
    parser.add_argument("--librispeech", default="train-clean-100,test-other",
                        help="subsets, default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="says which faces and clips are taken")
    given = parser.parse_args(argv)
    if given.count < 2 or given.count % 2 or given.clips < 1:
        raise InputError("--count: give an even number from 2 on, and for --clips 1 or more")
    return Options(given.downloads, given.out, chosen(given.parts, tuple(BUILDERS), "--parts"),
                   given.count, given.clips,
                   chosen(given.librispeech, tuple(LIBRISPEECH), "--librispeech"), given.seed)


def main(argv: Sequence[str] | None = None) -> int:
    try:
        rebuild(parse(argv))
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
