"""`scldm` pretrain, prior, train, baseline, generate, controls: what trains, and what draws."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from scldm.cli.parser import BUNDLED
from scldm.cli.paths import require_data, require_file, require_writable
from scldm.core.errors import InputError


def run_generate(args: argparse.Namespace) -> int:
    """`scldm generate`."""
    there = [clip for clip in args.clips if os.path.isfile(clip)]
    if not there and args.clips:
        raise InputError("; ".join(f"{clip}: {_absent(clip)}" for clip in args.clips))
    if bool(args.clips) == bool(args.manifest):
        raise InputError("give recordings, or --manifest")
    if args.manifest:
        require_data(args.manifest)
    if args.checkpoint == str(BUNDLED) and not BUNDLED.is_dir():
        raise InputError(f"{BUNDLED}: the bundled checkpoint is missing; install scldm again")
    require_writable(args.out)
    from scldm.data.samples import open_samples
    from scldm.encoders.bundle import pick_device
    from scldm.generation.clips import of_files, of_samples
    from scldm.generation.portraits import generate
    from scldm.generation.sources import Wish, open_source, spare_threads

    listed = args.manifest and open_samples(args.manifest, args.split, "audio")
    clips = of_samples(listed) if listed else of_files(args.clips)
    device = pick_device(args.device)
    began = time.perf_counter()
    source = open_source(args.checkpoint, device)
    spare_threads(source, device)
    print(f"checkpoint loaded in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    wish = Wish(args.portraits, args.seed, args.steps, args.guidance, args.beta, args.prior_mode,
                args.batch)
    made, bad = generate(source, clips, args.out, wish)
    if made:
        print(f"{len(made)} portraits and sheet.png in {args.out}")
    return 2 if bad else 0


def _absent(clip: str) -> str:
    return "is a directory; give recordings" if os.path.isdir(clip) else "no such file"


def run_pretrain(args: argparse.Namespace) -> int:
    """`scldm pretrain`."""
    from scldm.core.config import load_config

    require_file(args.config)
    from scldm.pretraining.config import PretrainConfig

    config = load_config(PretrainConfig, args.config, args.overrides)
    require_data(Path(config.data.faces), *map(Path, config.data.speech))
    from scldm.pretraining.loop import pretrain

    print(f"encoders in {pretrain(config)}")
    return 0


def run_train(args: argparse.Namespace) -> int:
    """`scldm train`: stage 2, then the checkpoint that `scldm generate` takes."""
    from scldm.core.config import load_config

    require_file(args.config)
    from scldm.diffusion.config import TrainConfig

    config = load_config(TrainConfig, args.config, args.overrides)
    require_data(Path(config.data.faces), *map(Path, config.data.speech))
    from scldm.diffusion.loop import train
    from scldm.generation.assemble import assemble

    denoiser = train(config)
    if config.prior is None:
        print(f"denoiser in {denoiser}; without a prior it makes no checkpoint")
        return 0
    if os.environ.get("RANK", "0") == "0":
        assemble(denoiser, Path(config.out) / "checkpoint")
        print(f"checkpoint in {Path(config.out) / 'checkpoint'}")
    return 0


def run_baseline(args: argparse.Namespace) -> int:
    """`scldm baseline`."""
    from scldm.core.config import load_config

    require_file(args.config)
    from scldm.baselines.config import GanConfig, RegressionConfig
    from scldm.baselines.gan import train_gan
    from scldm.baselines.regression import train_regression

    if args.method == "gan":
        gan = load_config(GanConfig, args.config, args.overrides)
        require_data(Path(gan.data.faces), *map(Path, gan.data.speech))
        made = train_gan(gan)
    else:
        regression = load_config(RegressionConfig, args.config, args.overrides)
        require_data(Path(regression.data.faces), *map(Path, regression.data.speech))
        made = train_regression(regression)
    print(f"checkpoint in {made}")
    return 0


def run_prior(args: argparse.Namespace) -> int:
    """`scldm prior`."""
    require_data(args.faces)
    if not args.checkpoint.is_dir():
        raise InputError(f"{args.checkpoint}: no such checkpoint folder")
    require_writable(args.out.parent)
    if args.out.is_dir():
        raise InputError(f"{args.out}: is a directory; name a file")
    from scldm.prior.command import make_prior

    print(make_prior(args.checkpoint, args.faces, args.split, args.count, args.out,
                     args.convergence, args.seed, args.device))
    return 0


def run_controls(args: argparse.Namespace) -> int:
    """`scldm controls`: a folder each, as `scldm generate` writes it."""
    faces = args.faces or args.clips
    require_data(args.clips, faces)
    require_writable(args.out)
    from scldm.data.samples import open_samples
    from scldm.encoders.bundle import pick_device
    from scldm.generation.clips import of_samples
    from scldm.generation.controls import controls
    from scldm.generation.pipeline import SpeechToFacePipeline
    from scldm.generation.portraits import generate
    from scldm.generation.sources import Wish

    clips = of_samples(open_samples(args.clips, args.split, "audio"))
    reference = open_samples(faces, "train", "face"), open_samples(args.clips, "train", "audio")
    device = pick_device(args.device)
    pipeline = SpeechToFacePipeline.from_pretrained(args.checkpoint).to(device)
    faults = []
    for name, source in controls(pipeline, *reference).items():
        made, bad = generate(source, clips, args.out / name, Wish(1))
        print(f"{len(made)} portraits in {args.out / name}")
        faults += bad
    return 2 if faults else 0
