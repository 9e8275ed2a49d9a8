"""Measure where a checkpoint's time goes, on this machine.

    python scripts/measure_speed.py --config configs/bed-train.yaml --out docs/results/bundled

Writes speed.json and speed.md: seconds of each part from waveform to image (models loaded, one
portrait, median of ten), and stage 2's samples a second from cached latents and with the frozen
encoders run on the fly, the rest of the step alike.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scldm.cli import BUNDLED
from scldm.core.artifact import write_json, write_text
from scldm.core.config import load_config
from scldm.core.run import device_name
from scldm.core.seeding import torch_generator
from scldm.data.faces import to_unit
from scldm.data.pairs import Pairs
from scldm.data.samples import open_samples
from scldm.data.spectrogram import fit_clip, spectrogram
from scldm.diffusion.config import TrainConfig
from scldm.diffusion.loop import build, diffusion_loss, latents
from scldm.diffusion.path import noise_path
from scldm.encoders.bundle import Encoders, pick_device
from scldm.generation.pipeline import SpeechToFacePipeline, load_waveform

Draw = Callable[[int], tuple[Tensor, Tensor]]


def part_times(
    pipeline: SpeechToFacePipeline, waveform: Tensor, rounds: int = 10
) -> dict[str, float]:
    """Median seconds of each part from waveform to image."""
    noise = pipeline.noise(0, 0)
    names = ("front end", "speech encoder", "diffusion", "decoder")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with torch.no_grad():
        for _ in range(rounds + 1):
            marks = [time.perf_counter()]
            seen = spectrogram(fit_clip(waveform)[None].to(pipeline.device))
            marks.append(time.perf_counter())
            speech = pipeline.speech_encoder(seen)
            marks.append(time.perf_counter())
            made = pipeline.sample_latents(speech, noise)
            marks.append(time.perf_counter())
            pipeline.decode(made).cpu()
            marks.append(time.perf_counter())
            for name, value in zip(names, np.diff(marks), strict=True):
                seconds[name].append(float(value))
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


def on_the_fly(
    encoders: Encoders, pairs: Pairs, config: TrainConfig, device: torch.device
) -> Draw:
    """Batches whose clips are augmented and whose latents are computed at each step."""
    def draw(step: int) -> tuple[Tensor, Tensor]:
        some = [pairs.batch(config.seed, config.batch * step + k, 16)
                for k in range(config.batch // 16)]
        with torch.no_grad():
            faces = torch.cat([
                encoders.face_encoder(to_unit(batch.faces.to(device))) for batch in some
            ])
            speech = torch.cat([
                encoders.speech_encoder(spectrogram(batch.audio.to(device))) for batch in some
            ])
        return faces, speech

    return draw


def samples_a_second(draw: Draw, config: TrainConfig, encoders: Encoders, scale: float) -> float:
    """Samples a second of whole training steps, after one that is not counted."""
    device = next(encoders.face_encoder.parameters()).device
    model = build(config, encoders, config.seed).to(device)
    optimizer, path = torch.optim.AdamW(model.parameters()), noise_path(config.schedule)
    spent, done, step = 0.0, 0, 0
    while spent < 20 and done < 20:
        began = time.perf_counter()
        z0, speech = draw(step)
        g = torch_generator(config.seed, "speed", step)
        loss = diffusion_loss(model, path, config, z0 * scale, speech, None, g, 0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        if step:
            spent, done = spent + time.perf_counter() - began, done + 1
        step += 1
    return done * config.batch / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("configs/bed-train.yaml"))
    parser.add_argument("--checkpoint", type=Path, default=BUNDLED)
    parser.add_argument("--out", type=Path, default=Path("docs/results/bundled"))
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = pick_device(args.device)
    pipeline = SpeechToFacePipeline.from_pretrained(args.checkpoint).to(device)
    config = load_config(TrainConfig, args.config)
    encoders = Encoders(pipeline.speech_encoder, pipeline.face_encoder, pipeline.face_decoder)
    clips = open_samples(config.data.speech[0], "test", "audio").manifest
    parts = part_times(pipeline, load_waveform(clips.file(0, "audio")))
    cache = latents(config, encoders, "train", device)
    pairs = Pairs(config.data, Path(config.out) / "cache")
    rates = {
        "from cached latents": lambda step: cache.draw(config.seed, step, config.batch),
        "encoding on the fly": on_the_fly(encoders, pairs, config, device),
    }
    figures = {
        "machine": device_name(), "checkpoint": pipeline.fingerprint, "steps":
        pipeline.defaults["steps"], "seconds": parts, "samples_a_second": {
            name: samples_a_second(draw, config, encoders, cache.scale())
            for name, draw in rates.items()
        },
        "command": " ".join(["python scripts/measure_speed.py", *sys.argv[1:]]),
    }
    write_json(args.out / "speed.json", figures)
    write_text(args.out / "speed.md", table(figures))
    print(table(figures))


def table(figures: dict[str, Any]) -> str:
    """The figures in Markdown."""
    parts = figures["seconds"]
    total = sum(parts.values())
    lines = [f"`{figures['command']}`, {figures['machine']}, checkpoint {figures['checkpoint']}.",
             "", f"| from waveform to image, {figures['steps']} steps | seconds | share |",
             "|---|---:|---:|"]
    lines += [f"| {name} | {value:.4f} | {value / total:.0%} |" for name, value in parts.items()]
    lines += [f"| total | {total:.4f} | |", "", "| stage 2 | samples a second |", "|---|---:|"]
    lines += [f"| {name} | {rate:.0f} |" for name, rate in figures["samples_a_second"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
