"""DCTS of simulated voices at the published RCRs, by three estimators of independence.

    python scripts/measure_dcts.py --out docs/results/dcts

Writes dcts.json and table.md. An identity is a Gaussian centre of D dimensions, its embeddings add
Gaussian noise, whose size is solved so that RCR is the published one; so only RIR and DCTS say
something. Published: Tables 2 and 3 of seed 000, whose K and details of the GMM are not given.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

from scldm.core.artifact import write_json, write_text
from scldm.core.run import device_name
from scldm.evaluation.dcts import Embeddings, as_json, dcts, ratios
from scldm.evaluation.independence import ESTIMATORS, gmm, inter_tuples, intra_tuples

WIDTH, EACH, KS = 192, 8, (8, 2)
FIXED = (8, 16, 24)  # components of mixtures that BIC does not choose
FIXED_TUPLES = 40
TIMED = (100, 8, 512)  # identities, embeddings of each, dimensions
NEAR = 0.1  # of a published RIR
NOTES = """\
"Nearly" is within 10 %; no published value lies in the interval of its simulation, and K = 8 is the
default because it comes near where K = 2 does not. Centres and noise cannot give an RIR below 1
(FaceTTS): it needs voices of one identity that depend on each other less than strangers do.

`gmm` chooses its components by BIC, nearly always one for these Gaussian voices. So it nearly is
the exact Gaussian value: strangers have an I near 0, and RIR is far above the published one.
`gmm of n` does not choose; many components overfit, which raises both I and brings RIR down, as
the bias of `kde` does. Here the published agreement of KDE and GMM came out only with a mixture
that overfits; the paper does not say what it took. RIR depends on the estimator more than on the
voices."""


@dataclass(frozen=True)
class Published:
    """What seed 000 reports of a model; `gmm`: RIR and DCTS of its ablation."""

    model: str
    rcr: float
    rir: float
    score: float
    gmm: tuple[float, float] | None = None


PUBLISHED = (
    Published("CosyVoice", 7.084, 1.684, 0.747),
    Published("FaceTTS", 1.358, 0.819, 0.508),
    Published("Face2VoiceSync", 3.554, 1.231, 0.659, (1.298, 0.664)),
)


def simulate(people: int, each: int, width: int, noise: float) -> Embeddings:
    """Identities of variance 1 and noise within; the same draws whatever the noise."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(people, 1, width))
    rows = centres + noise * rng.normal(size=(people, each, width))
    return Embeddings(rows.reshape(-1, width), np.repeat(np.arange(people), each))


def solve(people: int, rcr: float) -> float:
    """The noise at which simulated embeddings have this RCR."""

    def gap(noise: float) -> float:
        drawn = simulate(people, EACH, WIDTH, noise)
        return dcts(*drawn, k=2, estimator="gaussian", tuples=1).rcr.value - rcr

    return float(brentq(gap, 0.1, 10.0, xtol=1e-6))


def measure(people: int) -> list[dict[str, Any]]:
    """A row a model, K and estimator, and rows of fixed mixtures for the published ablation."""
    rows: list[dict[str, Any]] = []
    for published in PUBLISHED:
        noise = solve(people, published.rcr)
        drawn = simulate(people, EACH, WIDTH, noise)
        for k in KS:
            for name in ESTIMATORS:
                found = as_json(dcts(*drawn, k=k, estimator=name))
                rows.append({"model": published.model, "noise": noise, **found})
                print(line(rows[-1]), flush=True)
        for count in FIXED if published.gmm else ():
            rows.append(fixed(published, drawn, count))
            print(line(rows[-1]), flush=True)
    return rows


def fixed(published: Published, drawn: Embeddings, count: int) -> dict[str, Any]:
    """A row of a mixture of `count` components at K = 8, without intervals."""
    own = np.split(np.arange(len(drawn.embeddings)), len(drawn.embeddings) // EACH)
    rng = np.random.default_rng(0)
    kinds = (intra_tuples(own, 8, FIXED_TUPLES, rng), inter_tuples(own, 8, FIXED_TUPLES, rng))
    intra, inter = (float(gmm(drawn.embeddings, kind, (count,)).mean()) for kind in kinds)
    score, rir, _ = ratios(*np.array([intra, inter, 1.0, published.rcr]))
    return {
        "model": published.model, "k": 8, "estimator": f"gmm of {count}", "i_intra": intra,
        "i_inter": inter, "rir": {"value": float(rir)}, "score": {"value": float(score)},
    }  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    cells = [row["model"], row["k"], row["estimator"], f"{row['i_intra']:.3f}",
             f"{row['i_inter']:.3f}", interval(row["rir"]), interval(row["score"])]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def interval(estimate: dict[str, float]) -> str:
    value = f"{estimate['value']:.3f}"
    if "low" not in estimate:
        return value
    return f"{value} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def given(published: Published) -> list[str]:
    """The published rows of a model, with Eq. 9 of the published ratios."""
    pairs = [("kde", published.rir, published.score)]
    pairs += [("gmm", *published.gmm)] if published.gmm else []
    return [
        f"| {published.model} | not given | **published**, {name} | – | – | {rir:.3f} | {score:.3f}"
        f" (Eq. 9 of its ratios: {ratios(*np.array([rir, 1.0, 1.0, published.rcr]))[0]:.3f}) |"
        for name, rir, score in pairs
    ]


def verdict(rows: list[dict[str, Any]]) -> list[str]:
    """What comes out at K = 8 and what does not, in sentences."""
    said = []
    for published in PUBLISHED:
        pairs = [("kde", published.rir, published.score)]
        pairs += [("gmm", *published.gmm)] if published.gmm else []
        for name, rir, score in pairs:
            row = next(one for one in rows if (one["model"], one["k"], one["estimator"])
                       == (published.model, 8, name))  # fmt: skip
            mine, scored = row["rir"]["value"], row["score"]["value"]
            word = "comes out nearly" if abs(mine / rir - 1) < NEAR else "does not come out"
            said.append(f"- {published.model}, {name}: RIR {mine:.3f} for {rir:.3f} "
                        f"({mine / rir - 1:+.0%}), DCTS {scored:.3f} for {score:.3f}: {word}.")
    return said


def timing() -> list[str]:
    people, each, width = TIMED
    drawn, said = simulate(people, each, width, 0.6), []
    for name in ESTIMATORS:
        began = time.perf_counter()
        dcts(*drawn, estimator=name)
        said.append(f"{name} {time.perf_counter() - began:.1f} s")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--identities", type=int, default=318, help="as in the test split of LRS2")
    args = parser.parse_args()
    rows, seconds = measure(args.identities), timing()
    table = ["| model | K | estimator | I of one | I of many | RIR | DCTS |",
             "|---|---:|---|---:|---:|---:|---:|"]  # fmt: skip
    for published in PUBLISHED:
        table += given(published)
        table += [line(row) for row in rows if row["model"] == published.model]
    people, each, width = TIMED
    text = [
        f"DCTS of {args.identities} simulated identities of {EACH} embeddings of {WIDTH} "
        "dimensions, whose noise is solved so that RCR is the published one.", "", *table, "",
        "At K = 8:", "", *verdict(rows), "", NOTES, "",
        f"{people} identities of {each} embeddings of {width} dimensions take at K = 8 "
        f"{', '.join(seconds)}. {device_name()}. Made by",
        f"`python scripts/measure_dcts.py --identities {args.identities} --out {args.out}`",
    ]  # fmt: skip
    write_json(args.out / "dcts.json", {"identities": args.identities, "rows": rows})
    write_text(args.out / "table.md", "\n".join(text) + "\n")


if __name__ == "__main__":
    main()
