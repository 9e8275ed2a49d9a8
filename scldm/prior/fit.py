"""Z_prior = 1/N sum E_Face(f) over gender-balanced faces (seed 003, Eq. 3), in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scldm.core.errors import InputError
from scldm.core.seeding import numpy_generator
from scldm.data.faces import to_unit
from scldm.data.manifest import GENDERS, Manifest
from scldm.data.samples import Samples
from scldm.encoders.face import FaceEncoder


@dataclass(frozen=True)
class Row:
    """One row of Table 1: the L1 distance between the priors of N1 and N2 faces (nested)."""

    n1: int
    n2: int
    l1: float  # sum over coordinates of |Z_prior(N1) - Z_prior(N2)|
    predicted: float  # c sqrt(1/N1 - 1/N2)


@dataclass(frozen=True)
class Fit:
    """A fitted prior: the mean latent (C, s, s) in float64, Table 1 and its constant c."""

    mean: Tensor
    count: int
    rows: tuple[Row, ...]
    constant: float


def balanced_order(manifest: Manifest, count: int, seed: int) -> np.ndarray:
    """Indices of `count` faces, half of each gender, genders taking turns so every even prefix
    is balanced too.

    Raises InputError, with the counts, where the manifest cannot give that.
    """
    if count < 2 or count % 2:
        raise InputError(f"--count {count}: a gender-balanced prior needs an even number of faces")
    rng = numpy_generator(seed, "prior")
    pools = [np.flatnonzero(manifest["gender"] == gender) for gender in GENDERS]
    if min(map(len, pools)) < count // 2:
        have = ", ".join(f"{len(p)} {g}" for g, p in zip(GENDERS, pools, strict=True))
        raise InputError(
            f"{manifest.path}: a gender-balanced prior of {count} needs {count // 2} "
            f"of each gender; there are {have}"
        )
    drawn = [rng.permutation(pool)[: count // 2] for pool in pools]
    return np.stack(drawn, axis=1).reshape(-1)


@torch.no_grad()
def encode(
    encoder: FaceEncoder, samples: Samples, order: Sequence[int] | np.ndarray, size: int,
    batch: int = 64,
) -> Iterable[Tensor]:
    """Latents (b, C, s, s) of the faces in `order`, in float64 on the CPU, batch by batch."""
    device = next(encoder.parameters()).device
    for start in range(0, len(order), batch):
        faces = np.stack([samples.face(int(i), size) for i in order[start : start + batch]])
        pixels = torch.from_numpy(faces).permute(0, 3, 1, 2).to(device)
        yield encoder(to_unit(pixels)).double().cpu().contiguous()


class RunningMean:
    """Mean of latents (...) float64 in constant memory, and where it stood on the way.

    The sum carries its rounding errors along (Neumaier), so that the order of the latents changes
    the mean by no more than its last digit.

    Args:
        checkpoints: increasing numbers of latents at which the mean is looked at, for Table 1.
    """

    def __init__(self, checkpoints: Sequence[int] = ()) -> None:
        self.checkpoints, self.count = tuple(checkpoints), 0
        self.total = self.lost = torch.zeros((), dtype=torch.float64)
        self.seen: dict[int, Tensor] = {}

    def add(self, batch: Tensor) -> None:
        """Add latents (b, ...)."""
        for latent in batch:
            total = self.total + latent
            less = self.total.abs() < latent.abs()
            large = torch.where(less, latent, self.total)
            small = torch.where(less, self.total, latent)
            self.lost = self.lost + ((large - total) + small)
            self.total, self.count = total, self.count + 1
            if self.count in self.checkpoints:
                self.seen[self.count] = self.mean()

    def mean(self) -> Tensor:
        """Of what was added; InputError before anything was."""
        if not self.count:
            raise InputError("a prior needs at least one face")
        return (self.total + self.lost) / self.count

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs to go on to the same bits."""
        seen = {f"seen.{n}": mean for n, mean in self.seen.items()}
        return {"total": self.total, "lost": self.lost, "count": torch.tensor(self.count), **seen}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state`."""
        self.total, self.lost, self.count = state["total"], state["lost"], int(state["count"])
        self.seen = {int(k[5:]): mean for k, mean in state.items() if k.startswith("seen.")}

    def fit(self) -> Fit:
        """The prior and Table 1 between successive checkpoints."""
        pairs = zip(self.checkpoints, self.checkpoints[1:], strict=False)
        seen = self.seen
        measured = [(a, b, (seen[a] - seen[b]).abs().sum().item()) for a, b in pairs if b in seen]
        c = convergence_constant(measured)
        rows = tuple(Row(a, b, l1, c * (1 / a - 1 / b) ** 0.5) for a, b, l1 in measured)
        return Fit(self.mean(), self.count, rows, c)


def convergence_constant(rows: Sequence[tuple[int, int, float]]) -> float:
    """c of L1(N1, N2) = c sqrt(1/N1 - 1/N2): the mean over the rows; 0 without rows."""
    ratios = [l1 / (1 / a - 1 / b) ** 0.5 for a, b, l1 in rows]
    return float(np.mean(ratios)) if ratios else 0.0
