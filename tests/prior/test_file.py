"""Laws of the prior's file: the same bits again, bound to one encoder, with its facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scldm.core.artifact import load_facts, save_tensors
from scldm.core.errors import InputError
from scldm.prior.file import (
    FacePrior,
    copy_prior,
    load_prior,
    prior_facts,
    save_prior,
    table1,
)
from scldm.prior.fit import Fit
from tests.prior.test_fit import fitted


@pytest.fixture
def fit() -> Fit:
    latents = torch.randn(20, 2, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    return fitted([latents], (2, 10, 20))


@pytest.fixture
def facts(fit: Fit) -> dict[str, Any]:
    return prior_facts(fit, "aaaa", "0123", "faces of nowhere")


def test_a_round_trip_keeps_every_bit(fit: Fit, facts: dict[str, Any], tmp_path: Path) -> None:
    save_prior(tmp_path / "p.safetensors", fit, facts)
    prior = load_prior(tmp_path / "p.safetensors")
    assert prior.mean.dtype == torch.float32 and torch.equal(prior.mean, fit.mean.float())
    assert prior.facts == facts
    copy_prior(tmp_path / "copy.safetensors", prior)
    again = load_prior(tmp_path / "copy.safetensors")
    assert torch.equal(again.mean, prior.mean) and again.facts == facts


def test_facts_say_what_the_prior_is(fit: Fit, facts: dict[str, Any]) -> None:
    assert facts["encoder"] == "aaaa" and facts["manifest"] == "0123"
    assert facts["count"] == 20 and facts["genders"] == {"F": 10, "M": 10}
    assert facts["source"] == "faces of nowhere" and facts["constant"] == fit.constant
    assert facts["rms"] == pytest.approx((fit.mean**2).mean().item() ** 0.5, rel=1e-12)
    first = fit.rows[0]
    assert facts["convergence"][0] == {
        "n1": 2, "n2": 10, "l1": first.l1, "predicted": first.predicted
    }  # fmt: skip
    assert len(facts["convergence"]) == 2


def test_a_prior_of_another_encoder_is_refused(facts: dict[str, Any]) -> None:
    prior = FacePrior(torch.zeros(2, 3, 3), facts)
    assert prior.check("aaaa") is prior
    with pytest.raises(InputError, match="fitted with face encoder aaaa, not bbbb; fit it again"):
        prior.check("bbbb")


@pytest.mark.parametrize(
    ("tensors", "kind"),
    [({"mean": torch.zeros(1)}, "latent cache"), ({"mean": torch.zeros(1)}, None),
     ({"weight": torch.zeros(1)}, "face prior"),
     ({"mean": torch.zeros(1), "more": torch.zeros(1)}, "face prior")],
)  # fmt: skip
def test_other_tensors_are_no_prior(
    tensors: dict[str, torch.Tensor], kind: str | None, tmp_path: Path
) -> None:
    save_tensors(tmp_path / "x.safetensors", tensors, {"kind": kind} if kind else {})
    with pytest.raises(InputError, match=r"x\.safetensors: not a face prior"):
        load_prior(tmp_path / "x.safetensors")


def test_other_files_are_no_prior(fit: Fit, facts: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "p.safetensors"
    with pytest.raises(InputError, match="no such file"):
        load_prior(file)
    file.write_text("not tensors at all")
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_prior(file)
    save_prior(file, fit, facts)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        load_prior(file)


def test_table1_has_a_prediction_beside_each_row(
    fit: Fit, facts: dict[str, Any], tmp_path: Path
) -> None:
    save_prior(tmp_path / "p.safetensors", fit, facts)
    text = (tmp_path / "p.table1.md").read_text()
    assert text == table1(fit) and f"{fit.constant:.4g} sqrt(1/N1 - 1/N2)" in text
    for row in fit.rows:
        assert f"| {row.n1} | {row.n2} | {row.l1:.4g} | {row.predicted:.4g} |" in text


def test_without_rows_there_is_no_table(tmp_path: Path) -> None:
    fit = fitted([torch.ones(4, 2).double()], ())
    save_prior(tmp_path / "p.safetensors", fit, prior_facts(fit, "aaaa", "m", "s"))
    assert [file.name for file in tmp_path.iterdir()] == ["p.safetensors"]
    assert load_facts(tmp_path / "p.safetensors")["convergence"] == []
