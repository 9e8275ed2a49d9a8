"""Measure what an evaluation costs: R@K at 5,000 by 5,000, and 10,000 portraits.

    python scripts/measure_evaluation.py --portraits outputs/population/scldm \
        --truth data/population/manifest.csv

The portraits of a folder are named again and again until there are 10,000; each is read and judged
anew. Writes docs/results/evaluation/cost.md: seconds, and the most memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from scldm.core.artifact import write_text
from scldm.core.run import device_name
from scldm.evaluation.retrieval import ranks

PEOPLE, WIDTH, PORTRAITS = 5000, 512, 10_000


def retrieval() -> float:
    """Seconds of R@K for 5,000 portraits against 5,000 faces, 512 features each."""
    g = torch.Generator().manual_seed(0)
    made, gallery = (torch.randn(PEOPLE, WIDTH, generator=g) for _ in range(2))
    began = time.perf_counter()
    ranks(made, gallery, torch.arange(PEOPLE))
    return time.perf_counter() - began


def evaluation(portraits: Path, truth: Path, count: int) -> tuple[float, float]:
    """(seconds, gigabytes at most) of `scldm evaluate` on `count` portraits."""
    lines = (portraits / "manifest.jsonl").read_text().splitlines()
    with tempfile.TemporaryDirectory() as name:
        many = Path(name) / "many"
        many.mkdir()
        for folder in portraits.iterdir():
            if folder.is_dir():
                (many / folder.name).mkdir()
                for file in folder.iterdir():
                    (many / folder.name / file.name).hardlink_to(file)
        repeated = (lines * (count // len(lines) + 1))[:count]
        (many / "manifest.jsonl").write_text("\n".join(repeated) + "\n")
        began = time.perf_counter()
        command = ["-m", "scldm", "evaluate", "--portraits", str(many), "--truth", str(truth),
                   "--out", f"{name}/out"]
        subprocess.run([sys.executable, *command], check=False)  # clips without portraits are told
        seconds = time.perf_counter() - began
        (Path(name) / "out" / "metrics.json").stat()
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portraits", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results/evaluation"))
    args = parser.parse_args()
    found = retrieval()
    rows = [f"| R@K, {PEOPLE} portraits, a gallery of {PEOPLE} | {found:.1f} | |"]
    for count in (PORTRAITS // 10, PORTRAITS):
        seconds, memory = evaluation(args.portraits, args.truth, count)
        rows.append(f"| `scldm evaluate`, {count} portraits | {seconds:.0f} | {memory:.2f} |")
    head = "| what | seconds | memory at most, GB |\n|---|---|---|\n"
    text = head + "\n".join(rows) + f"\n\n{device_name()}.\n"
    write_text(args.out / "cost.md", text)
    print(text)


if __name__ == "__main__":
    main()
