"""The controlled experiment: every method, control and ablation where identity is known.

    python scripts/experiment_population.py

Makes a population of 1,000 people, trains a judge that names the training people, SCLDM, three
baselines and every variant of configs/ablations on it, and writes tables and figures to
docs/results/population. Several hours on two cores, most of them for Table 4; resumes by the
same command.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from calls import call, run

from scldm.core.artifact import staged, write_hashes, write_json
from scldm.pretraining.attributes import AttributesConfig, train_attributes

MANIFEST, RUNS = Path("data/population/manifest.csv"), Path("runs/population")
JUDGE, OUTPUTS = RUNS / "judge" / "network", Path("outputs/population")
RESULTS = Path("docs/results/population")
BASELINES = {"speech2face": "speech2face", "wen": "gan", "wav2pix": "gan"}
STUDIES = ("beta", "components", "guidance", "steps", "tokens", "path")
KEPT = ("metrics.json", "table.md", "axis.png")
PICTURES = ("distances.png", "retrieval.png", "portraits.png")  # of the comparison


def scldm(*words: str, unless: Path | None = None) -> None:
    """A command of the package, unless what it makes is there."""
    if unless:
        run("-m", "scldm", *words, unless=unless)
    else:
        call("-m", "scldm", *words)


def train_judge() -> None:
    """A network that names the training people: another architecture, and never a teacher."""
    if JUDGE.exists():
        return
    config = AttributesConfig(
        faces=str(MANIFEST), out=str(RUNS / "judge" / "run"), label_column="person",
        widths=(32, 64, 96, 128), input_size=64, image_size=64, steps=1500,
    )
    model = train_attributes(config)
    with staged(JUDGE) as part:
        model.half().save_pretrained(part, safe_serialization=True)
        write_json(part / "facts.json", {"config": config.model_dump(mode="json")})
        write_hashes(part)


def keep(folder: Path, name: str, *pictures: str) -> None:
    """Copy what a reader wants to see of a study to docs/results."""
    for file in (*KEPT, *pictures):
        if (folder / file).exists():
            with staged(RESULTS / name / file) as part:
                shutil.copy(folder / file, part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", nargs="*", default=STUDIES, choices=STUDIES)
    args = parser.parse_args()
    scldm("population", "--people", "1000", "--photos", "3", "--clips", "2", "--size", "64",
          "--splits", "0.75,0.05,0.2", "--out", str(MANIFEST.parent), unless=MANIFEST)
    train_judge()
    encoders, prior = RUNS / "pretrain" / "encoders", RUNS / "prior.safetensors"
    checkpoint = RUNS / "train" / "checkpoint"
    scldm("pretrain", "configs/population-pretrain.yaml", unless=encoders)
    scldm("prior", "--checkpoint", str(encoders), "--faces", str(MANIFEST), "--count", "2000",
          "--out", str(prior), "--convergence", "50,100,200,500,1000,2000", unless=prior)
    scldm("train", "configs/population-train.yaml", unless=checkpoint)
    folders = [draw(checkpoint, "scldm")]
    for name, method in BASELINES.items():
        config = f"configs/population-{name}.yaml"
        made = RUNS / name / "checkpoint"
        scldm("baseline", method, config, unless=made)
        folders.append(draw(made, name))
    scldm("controls", "--checkpoint", str(checkpoint), "--clips", str(MANIFEST), "--out",
          str(OUTPUTS), unless=OUTPUTS / "direct-decode" / "manifest.jsonl")
    folders += [OUTPUTS / "mean-face", OUTPUTS / "direct-decode"]
    comparison = OUTPUTS / "comparison"
    scldm("evaluate", "--portraits", *map(str, folders), "--truth", str(MANIFEST), "--faces",
          str(MANIFEST), "--judge", str(JUDGE), "--out", str(comparison))
    keep(comparison, "comparison", *PICTURES)
    tables = {1: prior, **{n: comparison / "metrics.json" for n in (2, 3)}}
    for study in args.studies:
        folder = OUTPUTS / study
        scldm("ablate", study, "configs/population-train.yaml", "--judge", str(JUDGE), "--out",
              str(folder))
        keep(folder, study, *(["portraits.png"] if study in ("beta", "path", "components") else []))
        if study == "components":
            tables[4] = folder / "metrics.json"
    for number, source in tables.items():
        scldm("table", str(number), str(source), "--out", str(RESULTS))


def draw(checkpoint: Path, name: str) -> Path:
    """Three portraits of each test clip, unless they are there."""
    out = OUTPUTS / name
    scldm("generate", "--manifest", str(MANIFEST), "--checkpoint", str(checkpoint), "--batch", "48",
          "--out", str(out), unless=out / "manifest.jsonl")
    return out


if __name__ == "__main__":
    main()
