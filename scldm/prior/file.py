"""The prior file: the mean latent with its facts, bound to the encoder that made it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scldm.core.artifact import load_tensors, save_tensors, write_text
from scldm.core.errors import InputError
from scldm.prior.fit import Fit


@dataclass(frozen=True)
class FacePrior:
    """Z_prior (C, s, s) float32, un-normalised, and the facts of its file."""

    mean: Tensor
    facts: dict[str, Any]

    def check(self, encoder: str) -> FacePrior:
        """Itself, if it was fitted with the face encoder of this fingerprint; else InputError."""
        if self.facts["encoder"] != encoder:
            raise InputError(
                f"the prior was fitted with face encoder {self.facts['encoder']}, not {encoder}; "
                "fit it again with `scldm prior`"
            )
        return self


def prior_facts(fit: Fit, encoder: str, manifest: str, source: str) -> dict[str, Any]:
    """What a prior file says of itself."""
    half = fit.count // 2
    return {
        "kind": "face prior", "encoder": encoder, "count": fit.count,
        "genders": {"F": half, "M": half}, "manifest": manifest, "source": source,
        "rms": fit.mean.square().mean().sqrt().item(), "constant": fit.constant,
        "convergence": [asdict(row) for row in fit.rows],
    }


def save_prior(path: str | Path, fit: Fit, facts: dict[str, Any]) -> None:
    """Write the prior (float32) and its facts as one safetensors file; and Table 1 beside it."""
    path = Path(path)
    save_tensors(path, {"mean": fit.mean.float()}, facts)
    if fit.rows:
        write_text(path.with_suffix(".table1.md"), table1(fit))


def load_prior(path: str | Path) -> FacePrior:
    """Read a prior; raises InputError when the file is missing, damaged or something else."""
    tensors, facts = load_tensors(path)
    if facts.get("kind") != "face prior" or set(tensors) != {"mean"}:
        raise InputError(f"{path}: not a face prior; make one with `scldm prior`")
    return FacePrior(tensors["mean"].to(torch.float32), facts)


def copy_prior(path: str | Path, prior: FacePrior) -> None:
    """Write a loaded prior again, as it was."""
    save_tensors(path, {"mean": prior.mean}, prior.facts)


def table1(fit: Fit) -> str:
    """Table 1 for these data, in Markdown, with the predicted column."""
    lines = [
        f"Distance between priors of N1 and N2 faces, {fit.count} in all; "
        f"predicted: {fit.constant:.4g} sqrt(1/N1 - 1/N2).", "",
        "| N1 | N2 | L1(N1, N2) | predicted |", "|---:|---:|---:|---:|",
    ]
    lines += [f"| {r.n1} | {r.n2} | {r.l1:.4g} | {r.predicted:.4g} |" for r in fit.rows]
    return "\n".join(lines) + "\n"
