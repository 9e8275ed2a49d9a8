"""`scldm info`: what a checkpoint or a prior file is."""

from __future__ import annotations

from pathlib import Path

from scldm.core.artifact import check_hashes, load_facts, read_json
from scldm.core.errors import InputError

MEGABYTE = 1e6


def describe(path: Path) -> str:
    """Sizes, configuration, fingerprint, training data and licence notes, as lines of text.

    Raises InputError when `path` is neither a checkpoint folder nor a prior file, or was altered.
    """
    return describe_folder(path) if path.is_dir() else describe_prior(path)


def describe_prior(path: Path) -> str:
    """A prior file."""
    facts = load_facts(path)
    if facts.get("kind") != "face prior":
        raise InputError(f"{path}: not a face prior and not a checkpoint folder")
    lines = [
        f"face prior of {facts['count']} faces "
        f"({facts['genders']['F']} F, {facts['genders']['M']} M)",
        f"face encoder: {facts['encoder']}",
        f"faces: {facts['source']} (manifest {facts['manifest']})",
        f"RMS of the mean latent: {facts['rms']:.4f}",
    ]
    lines += [
        f"L1({row['n1']}, {row['n2']}) = {row['l1']:.4g}, predicted {row['predicted']:.4g}"
        for row in facts["convergence"]
    ]
    return "\n".join(lines)


def describe_folder(folder: Path) -> str:
    """A checkpoint, or what one of the stages wrote."""
    hashes = check_hashes(folder)
    facts = read_json(folder / "facts.json")
    if "config" not in facts:
        raise InputError(f"{folder}: neither a checkpoint nor what a stage wrote")
    config = facts["config"]
    lines = [f"{folder}: {facts['stage']} at {config['data']['image_size']} pixels"]
    for name in hashes:
        if name.endswith(".safetensors"):
            lines.append(f"  {name}: {(folder / name).stat().st_size / MEGABYTE:.2f} MB")
    if (folder / "prior.safetensors").is_file():
        from scldm.generation.pipeline import SpeechToFacePipeline

        pipeline = SpeechToFacePipeline.from_pretrained(folder)
        lines.append(f"fingerprint: {pipeline.fingerprint}")
        lines.append("parameters: " + ", ".join(
            f"{name} {sum(p.numel() for p in part.parameters()) / 1e6:.2f}M"
            for name, part in pipeline.components.items()
        ))
        lines.append(describe_prior(folder / "prior.safetensors"))
    keys = ("schedule", "prediction", "beta", "sampling", "steps", "batch", "rate")
    lines += [f"{key}: {config[key]}" for key in keys if key in config]
    data = config["data"]
    lines.append(f"data: faces {data['faces']}, speech {', '.join(data['speech'])}, "
                 f"matched by {data['match']}")
    card = folder / "README.md"
    lines.append(f"data, licences, refused uses: {card}" if card.is_file() else
                 "licence: that of the data it was trained on; see the manifests named above")
    return "\n".join(lines)
