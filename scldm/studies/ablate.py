"""`scldm ablate`: train, sample and measure each variant of a study; what is there is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scldm.core.artifact import check_hashes, read_json, write_json
from scldm.core.config import check_config, merge
from scldm.core.errors import InputError
from scldm.data.samples import open_samples
from scldm.diffusion.config import TrainConfig
from scldm.diffusion.loop import train
from scldm.encoders.bundle import encoder_facts
from scldm.evaluation.command import Question, evaluate
from scldm.generation.assemble import assemble
from scldm.generation.clips import of_samples
from scldm.generation.pipeline import SpeechToFacePipeline
from scldm.generation.portraits import generate
from scldm.generation.sources import Diffusion, Wish
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.loop import pretrain
from scldm.prior.command import make_prior
from scldm.prior.file import load_prior
from scldm.studies.study import Study, Variant, slug, variants

PORTRAITS = 3  # of a clip, as in the paper's Fig. 6
TOGETHER = 48  # portraits computed together


@dataclass(frozen=True)
class Plan:
    """What a study runs on.

    Attributes:
        config: stage 2's, whose encoders are there; variants are deltas of it.
        truth: manifest of the clips that portraits are drawn for, and of their faces.
        split: whose.
        judge: see `open_judge`.
        out: folder of everything that the study makes.
    """

    config: TrainConfig
    truth: Path
    split: str
    judge: str
    out: Path


def ablate(study: Study, plan: Plan) -> tuple[list[str], list[str]]:
    """Run a study; its `metrics.json` has a method a variant. Resumes by the same call.

    Variants that train alike share their training. Returns the lines of `evaluate`.
    """
    folders = []
    for variant in variants(study):
        folder = plan.out / "portraits" / variant.name
        folders.append(folder)
        draw(trained(variant, plan), variant, plan, folder)
    lines = evaluate(Question(folders, plan.truth, plan.judge, by=()), plan.out)
    write_json(plan.out / "study.json", {
        "question": study.question, "axis": study.axis,
        "variants": [
            {"name": v.name, "value": v.value, "line": v.line, **v.delta.model_dump()}
            for v in variants(study)
        ],
    })
    return lines


def trained(variant: Variant, plan: Plan) -> Path:
    """The checkpoint of a variant, trained unless it is there."""
    delta = variant.delta
    values = merge(plan.config.model_dump(mode="json"), delta.train)
    if delta.pretrain:
        values |= stage_one(delta.pretrain, plan)
    if is_made(plan.config.out, values):
        return Path(plan.config.out) / "checkpoint"
    out = plan.out / "runs" / f"train {slug(delta.pretrain)} {slug(delta.train)}".strip()
    config = check_config(TrainConfig, {**values, "out": str(out)}, variant.name)
    if not is_made(out, values):
        share_cache(plan, out)
        assemble(train(config), out / "checkpoint")
    return out / "checkpoint"


def is_made(out: str | Path, values: dict[str, Any]) -> bool:
    """Whether the run in `out` ended in a checkpoint of this configuration."""
    folder = Path(out) / "checkpoint"
    if not folder.is_dir():
        return False
    check_hashes(folder)
    made = read_json(folder / "facts.json")["config"]
    return bool({**made, "out": ""} == {**values, "out": ""})


def stage_one(delta: dict[str, Any], plan: Plan) -> dict[str, str]:
    """Encoders and prior of a variant of stage 1, made unless they are there.

    The prior is of as many faces as the plan's.
    """
    out = plan.out / "runs" / f"pretrain {slug(delta)}"
    values = merge(encoder_facts(plan.config.encoders)["config"], delta)
    config = check_config(PretrainConfig, {**values, "out": str(out)}, "pretrain")
    encoders, prior = out / "encoders", out / "prior.safetensors"
    share_cache(plan, out)
    if not encoders.is_dir():
        pretrain(config)
    if plan.config.prior and not prior.is_file():
        count = int(load_prior(plan.config.prior).facts["count"])
        faces = Path(plan.config.data.faces)
        make_prior(encoders, faces, "train", count, prior, (), 0, "auto")
    return {"encoders": str(encoders), "prior": str(prior)}


def share_cache(plan: Plan, out: Path) -> None:
    """Let a run read the faces, clips and latents that the plan's own run has cached."""
    cache = Path(plan.config.out).resolve() / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "cache").exists():
        (out / "cache").symlink_to(cache)


def draw(checkpoint: Path, variant: Variant, plan: Plan, folder: Path) -> None:
    """Portraits of the truth's clips; those that are there as they would be made stay."""
    source = Diffusion(SpeechToFacePipeline.from_pretrained(checkpoint))
    wish = check_wish(variant)
    clips = of_samples(open_samples(plan.truth, plan.split, "audio"))
    _, bad = generate(source, clips, folder, wish, sheet=False)
    if bad:
        raise InputError(bad[0])


def check_wish(variant: Variant) -> Wish:
    """How a variant is sampled; InputError for a key that sampling does not know."""
    known = {"steps", "guidance", "beta", "prior_mode", "seed"}
    if unknown := sorted({*variant.delta.sample} - known):
        raise InputError(f"{variant.name}: sample.{unknown[0]}: use {', '.join(sorted(known))}")
    return Wish(PORTRAITS, **variant.delta.sample, batch=TOGETHER)
