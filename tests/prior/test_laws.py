"""Laws of the face prior (seed 003, Eq. 3 and Table 1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scldm.core.artifact import save_tensors
from scldm.core.errors import InputError
from scldm.data.manifest import Manifest
from scldm.prior.file import load_prior, prior_facts, save_prior
from scldm.prior.fit import balanced_order, convergence_constant, running_mean


def people(f: int, m: int) -> Manifest:
    return Manifest(Path("faces.csv"), {"gender": np.array(["F"] * f + ["M"] * m, dtype=object)})


def test_the_streaming_prior_is_the_plain_mean():
    latents = torch.randn(100, 3, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    fit = running_mean(latents.split(7), (10, 100))
    torch.testing.assert_close(fit.mean, latents.mean(0), atol=1e-12, rtol=0)
    distance = (latents[:10].mean(0) - latents.mean(0)).abs().sum().item()
    assert fit.rows[0].l1 == pytest.approx(distance, rel=1e-9)


def test_convergence_follows_the_square_root_law():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(5000, 512, generator=generator, dtype=torch.float64)
    fit = running_mean(latents.split(500), (100, 500, 1000, 5000))
    assert fit.constant == pytest.approx(512 * (2 / np.pi) ** 0.5, rel=0.05)
    for row in fit.rows:
        assert row.l1 == pytest.approx(row.predicted, rel=0.1)


def test_the_papers_table_has_a_constant_of_about_133():
    rows = [(100, 500, 11.86), (500, 1000, 5.21), (1000, 5000, 3.35), (5000, 10000, 1.28),
            (10000, 15000, 0.67)]
    assert convergence_constant(rows) == pytest.approx(133, rel=0.05)


def test_every_even_prefix_is_balanced():
    manifest = people(30, 50)
    order = balanced_order(manifest, 40, 0)
    male = manifest["gender"][order] == "M"
    assert len(set(order)) == 40
    for n in range(2, 41, 2):
        assert male[:n].sum() == n // 2


def test_unequal_genders_are_refused_with_the_counts():
    with pytest.raises(InputError, match="needs 20 of each gender; there are 30 F, 5 M"):
        balanced_order(people(30, 5), 40, 0)
    with pytest.raises(InputError, match="even number"):
        balanced_order(people(30, 30), 7, 0)


def test_a_prior_belongs_to_its_encoder(tmp_path):
    latents = torch.randn(10, 2, 2, 2).double()
    fit = running_mean([latents], (2, 10))
    save_prior(tmp_path / "p.safetensors", fit, prior_facts(fit, "aaaa", "m", "s"))
    prior = load_prior(tmp_path / "p.safetensors")
    assert torch.equal(prior.mean, fit.mean.float())
    assert prior.facts["genders"] == {"F": 5, "M": 5}
    assert prior.check("aaaa") is prior
    with pytest.raises(InputError, match="face encoder aaaa, not bbbb"):
        prior.check("bbbb")
    assert "predicted" in (tmp_path / "p.table1.md").read_text()


def test_other_files_are_no_prior(tmp_path):
    save_tensors(tmp_path / "x.safetensors", {"mean": torch.zeros(1)}, {"kind": "other"})
    with pytest.raises(InputError, match="not a face prior"):
        load_prior(tmp_path / "x.safetensors")
