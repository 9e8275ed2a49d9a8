"""Measure the bundled face-to-voice adapter on the training bed's test split.

    python scripts/measure_voice.py --listener runs/bed/wen/checkpoint

Needs data/bed, and a speaker encoder that had no part in it: `scldm baseline gan
configs/bed-wen.yaml` trains one to name the training speakers. Writes docs/results/voice/bundled.md
and bundled.json: how well a linear probe tells the gender of a face's latent, which caps all that
follows; whether the voices of those faces have a pitch of that gender; how far voices of one face
stay together (eight voices of FACES faces); and the seconds of a sentence. Faces and voices of the
bed belong to different people: nothing here is about identity.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calls import call, run
from measure_voice_synthesis import misheard, plain
from sklearn.linear_model import LogisticRegression

from scldm.cli import BUNDLED_VOICE
from scldm.cli.parser import SENTENCE
from scldm.core.artifact import write_json, write_text
from scldm.core.run import device_name
from scldm.core.seeding import numpy_generator
from scldm.data.samples import open_samples
from scldm.evaluation.intervals import Estimate, bootstrap
from scldm.voice.checkpoint import FaceToVoice, load_voice

PRIVATE, RESULTS = Path("runs/measure"), Path("docs/results/voice")
FACES, VOICES = 250, 8
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)  # of the probe, chosen on val


def seen(model: FaceToVoice, bed: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(v (N, F), whether a man (N,), person (N,)) of a split's faces."""
    samples = open_samples(bed / "faces.csv", split, "face")
    size, rows, parts = model.facts["image_size"], range(len(samples.manifest)), []
    for start in range(0, len(rows), 64):
        faces = np.stack([samples.face(row, size) for row in rows[start : start + 64]])
        parts.append(model.look(torch.from_numpy(faces).permute(0, 3, 1, 2)).cpu().numpy())
    manifest = samples.manifest
    return np.concatenate(parts), manifest["gender"] == "M", manifest["person"]


def probe(model: FaceToVoice, bed: Path) -> Estimate:
    """How often a linear probe of the face's latent tells the gender of test faces."""
    (x, y, _), (held, wanted, _), (test, true, people) = (
        seen(model, bed, split) for split in ("train", "val", "test")
    )
    fits = [LogisticRegression(C=c, max_iter=1000).fit(x, y) for c in STRENGTHS]
    best = max(fits, key=lambda fit: fit.score(held, wanted))
    return bootstrap(best.predict(test) == true, people)


def some_faces(bed: Path) -> Path:
    """A manifest of FACES test faces."""
    path = PRIVATE / "some-faces.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with (bed / "faces.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    drawn = numpy_generator(0, "some faces").permutation(len(rows))[:FACES]
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        for i in sorted(drawn):
            table.writerow(rows[i] | {"face": str((bed / rows[i]["face"]).resolve())})
    return path


def measure(manifest: Path, name: str, count: int, *more: str) -> dict[str, Any]:
    """Give a manifest's test faces `count` voices each and measure them: figures by method."""
    out = PRIVATE / "voices" / name
    run("-m", "scldm", "voice", "--manifest", str(manifest), "--voices", str(count), "--out",
        str(out), unless=out / "manifest.jsonl")
    call("-m", "scldm", "evaluate-voice", "--voices", str(out), "--truth", str(manifest), *more,
         "--out", f"{out}-measured")
    methods: dict[str, Any] = json.loads(Path(f"{out}-measured/metrics.json").read_text())
    return methods["methods"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bed", type=Path, default=Path("data/bed"))
    parser.add_argument("--listener", type=Path, default=Path("runs/bed/wen/checkpoint"))
    args = parser.parse_args()
    model = load_voice(BUNDLED_VOICE)
    cap = probe(model, args.bed)
    judge = ("--judge", str(args.listener))
    found = {
        "all": measure(args.bed / "faces.csv", "all", 1, *judge, "--words", "no"),
        "some": measure(some_faces(args.bed), "some", VOICES, *judge),
    }
    lines = (PRIVATE / "voices" / "some" / "manifest.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["seconds"] for line in lines]
    write(cap, found, seconds)


def write(cap: Estimate, found: dict[str, Any], seconds: list[float]) -> None:
    """The page and the figures."""
    figures = {
        "gender of the face, linear probe of its latent": vars(cap),
        "gender of the face, by the F0 of its voice": found["all"]["all"]["gender by F0"],
        "the same with another face's voice": found["all"]["all, shuffled faces"]["gender by F0"],
        "F0 within what adults of the gender have": found["all"]["all"]["F0 plausible"],
        f"DCTS of {VOICES} voices a face": found["some"]["some"]["DCTS"],
        "RIR": found["some"]["some"]["RIR"], "RCR": found["some"]["some"]["RCR"],
        "word error rate of the voices (pocketsphinx)": found["some"]["some"]["word error rate"],
    }
    unmoved = misheard(plain((SENTENCE,)), (SENTENCE,))
    lines = ["| | value | people |", "|---|---|---|"]
    lines += [
        f"| {name} | {x['value']:.3f} [{x['low']:.3f}, {x['high']:.3f}] | {x['n']} |"
        for name, x in figures.items()
    ]
    median, worst = float(np.median(seconds)), float(np.max(seconds))
    lines += ["", f"A sentence of ten words takes {median:.2f} s at the median, {worst:.2f} s at "
              f"most, models loaded, on {device_name()}. All voices say one sentence, of which "
              f"espeak-ng's plain voice has {unmoved:.3f} of the words misheard. 95 % intervals "
              "over people."]
    write_json(RESULTS / "bundled.json", {
        **figures, "seconds": {"median": median, "most": worst},
        "word error rate of the plain voice": unmoved, "machine": device_name(),
    })
    write_text(RESULTS / "bundled.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
