"""Laws of the fitted prior: it is the plain mean, of balanced faces, and it converges (Table 1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from scldm.core.errors import InputError
from scldm.data.manifest import Manifest
from scldm.prior.fit import Fit, RunningMean, balanced_order, convergence_constant, encode

PAPER = [(100, 500, 11.86), (500, 1000, 5.21), (1000, 5000, 3.35), (5000, 10_000, 1.28),
         (10_000, 15_000, 0.67)]  # fmt: skip


def fitted(batches: Iterable[torch.Tensor], checkpoints: Sequence[int] = ()) -> Fit:
    mean = RunningMean(checkpoints)
    for batch in batches:
        mean.add(batch)
    return mean.fit()


def people(female: int, male: int, unknown: int = 0) -> Manifest:
    genders = ["F"] * female + ["M"] * male + [""] * unknown
    return Manifest(Path("faces.csv"), {"gender": np.array(genders, dtype=object)})


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_the_streaming_prior_is_the_plain_mean(batch: int) -> None:
    generator = torch.Generator().manual_seed(0)
    latents = 100 + torch.randn(100, 3, 2, 2, generator=generator).double()
    before = latents.clone()
    fit = fitted(latents.split(batch), (10, 30, 100))
    assert fit.count == 100 and fit.mean.dtype == torch.float64
    torch.testing.assert_close(fit.mean, latents.mean(0), atol=1e-12, rtol=0)
    assert torch.equal(latents, before)
    for row in fit.rows:
        distance = (latents[: row.n1].mean(0) - latents[: row.n2].mean(0)).abs().sum().item()
        assert row.l1 == pytest.approx(distance, rel=1e-9)
    assert [(row.n1, row.n2) for row in fit.rows] == [(10, 30), (30, 100)]


def test_the_order_changes_the_mean_by_its_last_digit_at_most() -> None:
    """Latents of very different sizes, whose plain sum depends on their order."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(4000, 6, generator=generator).double()
    latents *= 10 ** (12 * torch.rand(4000, 1, generator=generator)).double()
    means = [fitted([latents[torch.randperm(4000, generator=generator)]]).mean for _ in range(4)]
    plain = [latents[torch.randperm(4000, generator=generator)].cumsum(0)[-1] for _ in range(4)]
    assert any(not torch.equal(plain[0], other) for other in plain)
    for other in means:
        assert ((other - means[0]).abs() <= 2.3e-16 * means[0].abs()).all()
    exact = torch.tensor([math.fsum(x) / 4000 for x in latents.T.tolist()], dtype=torch.float64)
    torch.testing.assert_close(means[0], exact, rtol=2.3e-16, atol=0)


def test_a_stopped_mean_goes_on_to_the_same_bits() -> None:
    latents = torch.randn(100, 5, generator=torch.Generator().manual_seed(2)).double()
    first, second = RunningMean((10, 60, 100)), RunningMean((10, 60, 100))
    first.add(latents[:64])
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    second.add(latents[64:])
    whole = fitted(latents.split(8), (10, 60, 100))
    assert torch.equal(second.fit().mean, whole.mean) and second.fit().rows == whole.rows
    sizes = {name: tensor.numel() for name, tensor in second.state().items()}
    assert sizes == {"total": 5, "lost": 5, "count": 1, "seen.10": 5, "seen.60": 5, "seen.100": 5}


def test_no_face_is_no_prior() -> None:
    with pytest.raises(InputError, match="at least one face"):
        fitted([])


def test_convergence_follows_the_square_root_law() -> None:
    generator = torch.Generator().manual_seed(0)
    latents = 3 + torch.randn(5000, 512, generator=generator, dtype=torch.float64)
    fit = fitted(latents.split(500), (100, 500, 1000, 5000))
    assert fit.constant == pytest.approx(512 * (2 / np.pi) ** 0.5, rel=0.05)  # d E|N(0, 1)|
    for row in fit.rows:
        assert row.predicted == fit.constant * (1 / row.n1 - 1 / row.n2) ** 0.5
        assert row.l1 == pytest.approx(row.predicted, rel=0.1)


def test_the_papers_table_has_one_constant() -> None:
    c = convergence_constant(PAPER)
    assert c == pytest.approx(133, abs=4)
    predicted = [133 * (1 / a - 1 / b) ** 0.5 for a, b, _ in PAPER]
    assert predicted == pytest.approx([11.9, 4.2, 3.8, 1.3, 0.77], rel=0.03)
    ours = [c * (1 / a - 1 / b) ** 0.5 for a, b, _ in PAPER]
    assert ours == pytest.approx([l1 for _, _, l1 in PAPER], rel=0.25)


def test_every_even_prefix_is_balanced() -> None:
    manifest = people(30, 50, 40)
    order = balanced_order(manifest, 40, 0)
    gender = manifest["gender"][order]
    assert len(set(order)) == 40
    for n in range(2, 41, 2):
        assert list(gender[:n]).count("F") == list(gender[:n]).count("M") == n // 2


def test_the_order_is_of_the_seed() -> None:
    manifest = people(300, 300)
    first = balanced_order(manifest, 100, 0)
    assert np.array_equal(first, balanced_order(manifest, 100, 0))
    assert not np.array_equal(first, balanced_order(manifest, 100, 1))
    assert np.array_equal(first, balanced_order(manifest, 600, 0)[:100])  # nested


@pytest.mark.parametrize(("female", "male"), [(30, 5), (5, 30), (0, 30)])
def test_unequal_genders_are_refused_with_the_counts(female: int, male: int) -> None:
    words = f"a gender-balanced prior of 40 needs 20 of each gender; there are {female} F, {male} M"
    with pytest.raises(InputError, match=words):
        balanced_order(people(female, male, 50), 40, 0)


@pytest.mark.parametrize("count", [7, 1, 0, -2])
def test_an_odd_count_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"--count {count}: .* even number"):
        balanced_order(people(30, 30), count, 0)


def test_faces_are_encoded_in_order_and_in_the_networks_range() -> None:
    class Store:
        manifest = people(5, 5)

        def face(self, row: int, size: int) -> np.ndarray:
            return np.full((size, size, 3), 25 * row, dtype=np.uint8)

        def speech(self, row: int) -> np.ndarray:
            raise AssertionError

    class Same(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            return faces

    order = [9, 0, 4, 2, 7]
    batches = list(encode(Same(), Store(), order, 4, batch=2))  # type: ignore[arg-type]
    assert [b.shape for b in batches] == [(2, 3, 4, 4), (2, 3, 4, 4), (1, 3, 4, 4)]
    latents = torch.cat(batches)
    assert latents.dtype == torch.float64 and not latents.requires_grad
    expected = torch.tensor(order).double() * 25 / 127.5 - 1
    torch.testing.assert_close(latents.mean((1, 2, 3)), expected, atol=1e-6, rtol=0)
