"""How fast videos are prepared, against their decoding and the detection alone, and in what memory.

    python scripts/measure_prepare.py --films my/videos --out docs/results/data

Takes the videos of a folder, and the same under 4, 16 and 64 names; writes prepare.md: clips a
second of one process and of two, the parts' share, and the peak memory, which should not grow.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from scldm.core.artifact import write_text
from scldm.core.run import device_name
from scldm.data.media import read_audio, read_frames
from scldm.data.prepare import face, speech
from scldm.data.prepare.item import Recipe
from scldm.data.prepare.sources.files import FILMS


def floors(films: list[Path]) -> dict[str, float]:
    """Seconds a film of each part alone."""
    recipe = Recipe()
    times = [6.0 * (i + 0.5) / recipe.looks for i in range(recipe.looks)]
    sounds = [read_audio(film) for film in films]
    frames = [read_frames(film, times).pixels for film in films]
    face.find_faces(frames[0])  # the networks are loaded
    speech.spoken(sounds[0])
    parts: dict[str, Callable[[int], object]] = {
        "decoding sound and five frames":
            lambda i: (read_audio(films[i]), read_frames(films[i], times)),
        "voice activity": lambda i: speech.spoken(sounds[i]),
        "face detection in five frames": lambda i: face.find_faces(frames[i]),
    }
    return {name: _seconds(part, len(films)) for name, part in parts.items()}


def _seconds(part: Callable[[int], object], count: int) -> float:
    began = time.perf_counter()
    for i in range(count):
        part(i)
    return (time.perf_counter() - began) / count


def prepared(films: list[Path], times: int, jobs: int) -> tuple[float, float]:
    """(seconds, peak memory of the largest process in MiB) of preparing the films `times` times."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "films")
        folder.mkdir()
        for n in range(times):
            for film in films:
                (folder / f"{n:02d} {film.name}").symlink_to(film.resolve())
        command = [sys.executable, "-c", RUN, str(folder), f"{place}/store", str(jobs)]
        began = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return time.perf_counter() - began, float(done.stdout.split()[-1])


RUN = """
import resource, sys
from scldm.cli import main
main(["prepare", "videos", sys.argv[1], "--out", sys.argv[2], "--jobs", sys.argv[3]])
print(max(resource.getrusage(w).ru_maxrss
          for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    films = sorted(p for p in args.films.iterdir() if p.suffix.lower() in FILMS)
    parts = floors(films)
    lines = ["| part of one clip, one core | seconds |", "|---|---:|"]
    lines += [f"| {name} | {seconds:.3f} |" for name, seconds in parts.items()]
    lines += [f"| together | {sum(parts.values()):.3f} |", "",
              "| clips | processes | seconds | clips a second after the start | MiB |",
              "|---:|---:|---:|---:|---:|"]
    first = None
    for times, jobs in ((1, 1), (4, 1), (16, 1), (64, 1), (16, 2)):
        seconds, memory = prepared(films, times, jobs)
        first = first or seconds
        clips = times * len(films)
        rate = f"{(clips - len(films)) / (seconds - first):.2f}" if times > 1 else ""
        lines.append(f"| {clips} | {jobs} | {seconds:.1f} | {rate} | {memory:.0f} |")
        print(lines[-1], flush=True)
    note = (f"\n{len(films)} videos of six seconds, 480 x 360, and the same under other names. "
            f"{device_name()}.\nMade by `python scripts/measure_prepare.py --films {args.films} "
            f"--out {args.out}`\n")
    write_text(args.out / "prepare.md", "\n".join(lines) + "\n" + note)


if __name__ == "__main__":
    main()
