"""Make the bundled checkpoint, voice adapter, prior and judge from a training bed; resumes.

    python scripts/train_bundled.py --size cpu      # 64x64, two cores, about three hours
    python scripts/train_bundled.py --size gpu      # 256x256, one GPU

Needs data/bed (see docs/training-bed.md) and `pip install -e ".[speech,evaluation]"`: synthetic
voices, and the figures at the end.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from calls import call, run

from scldm.cli import BUNDLED, BUNDLED_VOICE
from scldm.core.artifact import staged, write_hashes
from scldm.evaluation.judges import BUNDLED_JUDGE

SIZES = {"cpu": ("configs/bed", "runs/bed"), "gpu": ("configs/bed-gpu", "runs/bed-gpu")}
PRIOR = Path("face_prior/bundled.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="cpu")
    parser.add_argument("--card", type=Path, default=Path("docs/model-card.md"))
    args = parser.parse_args()
    configs, folder = SIZES[args.size]
    pretrain, train, voice = (f"{configs}-{stage}.yaml" for stage in ("pretrain", "train", "voice"))
    networks, prior = Path("runs/face-networks"), Path(folder) / "prior.safetensors"
    run("scripts/synthesise_speech.py", "training", "--out", "data/espeak",
        unless=Path("data/espeak/manifest.csv"))
    for name, steps in (("perceptual", "1200"), ("judge", "1500")):
        run("scripts/train_face_networks.py", "--faces", "data/bed/faces.csv",
            "--out", str(networks), "--only", name, "--steps", steps,
            unless=networks / name / "network")
    encoders = Path(folder) / "pretrain" / "encoders"
    run("-m", "scldm", "pretrain", pretrain, unless=encoders)
    run("-m", "scldm", "prior", "--checkpoint", str(encoders), "--faces", "data/bed/faces.csv",
        "--count", "10000", "--out", str(prior), "--convergence", "100,500,1000,5000,10000",
        unless=prior)
    checkpoint = Path(folder) / "train" / "checkpoint"
    run("-m", "scldm", "train", train, unless=checkpoint)
    install(checkpoint, BUNDLED, args.card)
    spoken = Path(folder) / "voice" / "checkpoint"  # on the encoders of the checkpoint as it ships
    run("-m", "scldm", "train-voice", voice, unless=spoken)
    install(spoken, BUNDLED_VOICE, Path("docs/voice-card.md"))
    run("-m", "scldm", "baseline", "gan", "configs/bed-wen.yaml",  # its listener judges voices
        unless=Path("runs/bed/wen/checkpoint"))
    install(networks / "judge" / "network", BUNDLED_JUDGE, args.card)
    for made, kept in ((prior, PRIOR), *((p.with_suffix(".table1.md") for p in (prior, PRIOR)),)):
        with staged(kept) as part:
            shutil.copy(made, part)
    for words in (["measure.py"], ["measure_audit.py"], ["measure_speed.py", "--config", train],
                  ["figures.py", "--runs", folder], ["measure_voice.py"]):
        call(f"scripts/{words[0]}", *words[1:])


def install(source: Path, target: Path, card: Path) -> None:
    """Copy a folder into the package with the model card, hashes written anew, as a whole."""
    with staged(target) as part:
        shutil.copytree(source, part)
        shutil.copy(card, part / "README.md")
        write_hashes(part)


if __name__ == "__main__":
    main()
