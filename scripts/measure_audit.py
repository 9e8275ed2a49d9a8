"""Audit a checkpoint on a bed's test split: copies, fairness, age, and what β does.

    python scripts/measure_audit.py --bed data/bed --out docs/results/bundled

Writes audit.json, audit.md and beta.png; and, since faces of real people are not to be published,
runs/measure/closest.png apart: the ten portraits nearest to a training face, each above that face.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from measured import PRIVATE, aligned, arguments, load
from scipy.stats import spearmanr
from torch import Tensor

from scldm.core.artifact import staged, write_json, write_text
from scldm.core.run import device_name
from scldm.core.seeding import numpy_generator
from scldm.data.samples import open_samples
from scldm.diffusion.sampler import PRIOR_MODES
from scldm.encoders.attributes import AGE_BANDS, age_band
from scldm.evaluation.intervals import bootstrap
from scldm.evaluation.judges import BundledJudge
from scldm.evaluation.nearest import nearest
from scldm.evaluation.quality import detected, kid
from scldm.generation.grid import draw_portraits, save_grid
from scldm.generation.pipeline import SpeechToFacePipeline

BETAS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3)
FEW = 30  # a cell of fewer portraits or people is marked


def copies(judge: BundledJudge, made: Tensor, held_out: Tensor, train: Tensor) -> dict[str, Any]:
    """Distance to the nearest training face: of portraits, and of held-out real faces."""
    gallery = judge(train).features
    found, real = nearest(judge(made).features, gallery), nearest(judge(held_out).features, gallery)
    order = found[0].argsort()[:10]
    save_grid(torch.cat((made[order], train[found[1][order]])), 10, PRIVATE / "closest.png")
    return {
        name: {f"{q:.0%}": float(d.quantile(q)) for q in (0.01, 0.1, 0.5, 0.9)}
        for name, d in (("portraits", found[0]), ("real test faces", real[0]))
    }


def fairness(
    right: np.ndarray,
    seen: np.ndarray,
    far: np.ndarray,
    people: np.ndarray,
    cells: dict[str, np.ndarray],
) -> dict[str, Any]:
    """By cell: judged gender, MTCNN, distance to the nearest real face. All (portraits,)."""
    table = {}
    for kind, column in cells.items():
        for value in sorted(set(column) - {""}):
            here = column == value
            gender = bootstrap(right[here], people[here])
            table[f"{kind}: {value}"] = {
                "portraits": int(here.sum()),
                "gender": vars(gender),
                "text": str(gender),
                "detected": float(seen[here].mean()),
                "distance": float(np.median(far[here])),
                "few": bool(here.sum() < FEW or gender.n < FEW),
            }
    return table


def follows_age(
    judged: np.ndarray, age: np.ndarray, woman: np.ndarray, people: np.ndarray
) -> dict[str, float]:
    """Rank correlation of a portrait's judged age with the speaker's within gender; (people,)."""
    ids, index = np.unique(people, return_inverse=True)
    judged = np.bincount(index, weights=judged) / np.bincount(index)
    first = np.unique(index, return_index=True)[1]
    age, woman = age[first], woman[first]

    def within(rows: np.ndarray) -> float:
        parts = [rows[woman[rows] == sex] for sex in (True, False)]
        kept = [part for part in parts if len(set(age[part])) > 2]
        scores = [spearmanr(judged[part], age[part]).statistic for part in kept]
        return float(np.average(scores, weights=[len(part) for part in kept]))

    rng = numpy_generator(0, "age")
    drawn = [within(rng.integers(len(ids), size=len(ids))) for _ in range(2000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"value": within(np.arange(len(ids))), "low": low, "high": high, "n": len(ids)}


def sweep(
    pipeline: SpeechToFacePipeline,
    judge: BundledJudge,
    speech: Tensor,
    men: np.ndarray,
    speakers: np.ndarray,
    real: Tensor,
) -> list[dict[str, Any]]:
    """What four portraits of each Z^s, from the same noise, become under every β and mode."""
    rows: list[dict[str, Any]] = []
    plain = draw_portraits(pipeline, speech, 4, beta=0.0)
    middle, seen = pipeline.decode(pipeline.prior_latent()), judge(real).features
    asked, asker = np.tile(men, 4), np.tile(speakers, 4)
    for mode in PRIOR_MODES:
        for beta in BETAS:
            made = draw_portraits(pipeline, speech, 4, beta=beta, prior_mode=mode)
            said = judge(made)
            spread = torch.nn.functional.normalize(said.features, dim=1).unflatten(0, (4, -1))
            cosine = torch.einsum("iba,jba->bij", spread, spread)
            rows.append(
                {
                    "mode": mode,
                    "beta": beta,
                    "gender": vars(bootstrap(said.gender.numpy() == asked, asker)),
                    "kid": kid(seen, said.features),
                    "top-4 distance": 1 - float((cosine.sum((1, 2)) - 4).mean() / 12),
                    "to the prior": float((made - middle).abs().mean()),
                    "to beta 0": float((made - plain).abs().mean()),
                }
            )
    return rows


def draw_beta(pipeline: SpeechToFacePipeline, clips: list[Path]) -> Figure:
    """The first portrait of each clip under every β, a block of rows a mode; the prior beside."""
    speech = pipeline.encode_speech(clips)
    prior = pipeline.decode(pipeline.prior_latent())[0]
    rows, columns = len(PRIOR_MODES) * len(clips), len(BETAS) + 1
    figure = Figure(figsize=(1.15 * columns, 1.2 * rows), dpi=110, layout="constrained")
    grid = figure.subplots(rows, columns)
    for block, mode in enumerate(PRIOR_MODES):
        for column, beta in enumerate(BETAS):
            noise = torch.cat([pipeline.noise(0, 0)] * len(clips))
            latents = pipeline.sample_latents(speech, noise, beta=beta, prior_mode=mode)
            for row, face in enumerate(pipeline.decode(latents), block * len(clips)):
                _show(grid[row, column], face, f"{mode}, β = {beta:g}" if row % len(clips) == 0
                      else "")  # fmt: skip
    for row in range(rows):
        _show(grid[row, -1], prior, "prior" if row == 0 else "")
        grid[row, -1].set_visible(row == 0)
    return figure


def _show(axes: Any, face: Tensor, title: str) -> None:
    axes.imshow((face.permute(1, 2, 0).numpy() + 1) / 2, interpolation="bicubic")
    axes.set_title(title, fontsize=7, pad=2)
    axes.axis("off")


def main() -> None:
    args = arguments(__doc__, portraits=4)
    bed = load(args)
    pipeline, judge, real, speech = bed.pipeline, bed.judge, bed.real, bed.speech
    speakers, men = bed.speakers, bed.men
    seen = aligned(open_samples(args.bed / "faces.csv", "train", "face"), real.shape[-1])
    PRIVATE.mkdir(parents=True, exist_ok=True)
    made = draw_portraits(pipeline, speech, args.portraits)
    said = judge(made)
    asked, asker = np.tile(men, args.portraits), np.tile(speakers, args.portraits)
    far, who = nearest(said.features, judge(real).features)
    shown = np.array([f"{AGE_BANDS[age_band(a)]}+" for a in said.age.tolist()])
    cells = {
        "label of the nearest real face": bed.faces.manifest["ethnicity"][who.numpy()],
        "voice and judged age": np.char.add(np.where(asked, "man ", "woman "), shown),
    }
    ages = np.tile(bed.clips.manifest.numbers("age_lo"), args.portraits)
    known = np.isfinite(ages)
    first = np.unique(speakers, return_index=True)[1]
    figures = {
        "machine": device_name(),
        "checkpoint": pipeline.fingerprint,
        "sampling": pipeline.defaults,
        "copies": copies(judge, made, real, seen),
        "fairness": fairness(
            said.gender.numpy() == asked, detected(made), far.numpy(), asker, cells
        ),
        "age": follows_age(said.age.numpy()[known], ages[known], ~asked[known], asker[known]),
        "beta": sweep(pipeline, judge, speech[first], men[first], speakers[first], real),
        "command": " ".join(["python scripts/measure_audit.py", *sys.argv[1:]]),
    }
    write_json(args.out / "audit.json", figures)
    write_text(args.out / "audit.md", table(figures))
    with staged(args.out / "beta.png") as part:
        examples = sorted(Path("examples").glob("*.flac"))
        draw_beta(pipeline, examples).savefig(part, format="png")
    print((args.out / "audit.md").read_text())


def table(figures: dict[str, Any]) -> str:
    """The figures in Markdown."""
    age = figures["age"]
    lines = [
        f"`{figures['command']}`, {figures['machine']}, checkpoint {figures['checkpoint']}.",
        "",
        "| cosine distance to the nearest training face, judge's features | 1 % | 10 % |"
        " median | 90 % |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | " + " | ".join(f"{x:.3f}" for x in values.values()) + " |"
        for name, values in figures["copies"].items()
    ]
    lines += [
        "",
        f"Age: rank correlation of judged and true age within gender {age['value']:.2f} "
        f"[{age['low']:.2f}, {age['high']:.2f}] over {age['n']} speakers.",
        "",
        "| portraits, by cell (* under 30 portraits or speakers) | portraits | gender right |"
        " MTCNN finds a face | distance to the nearest real face |",
        "|---|---:|---|---:|---:|",
    ]
    lines += [
        f"| {name}{'*' if c['few'] else ''} | {c['portraits']} | {c['text']} |"
        f" {c['detected']:.3f} | {c['distance']:.3f} |"
        for name, c in figures["fairness"].items()
    ]
    lines += [
        "",
        "| prior mode | β | gender right | KID | distance of 4 portraits of a clip |"
        " change against β = 0 | distance to the decoded prior |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['mode']} | {r['beta']:g} | {r['gender']['value']:.3f} [{r['gender']['low']:.3f},"
        f" {r['gender']['high']:.3f}] | {r['kid']:.4f} | {r['top-4 distance']:.3f} |"
        f" {r['to beta 0']:.4f} | {r['to the prior']:.3f} |"
        for r in figures["beta"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
