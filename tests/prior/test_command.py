"""Laws of `scldm prior`: the mean latent of the manifest's faces, bound to the encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from scldm.core.errors import InputError
from scldm.data.faces import to_unit
from scldm.data.samples import open_samples
from scldm.encoders.bundle import load_encoders, save_encoders
from scldm.prior.command import make_prior
from scldm.prior.file import load_prior
from scldm.prior.fit import balanced_order, encode


@pytest.fixture(scope="module")
def encoders(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained encoders, as stage 1 writes them."""
    from scldm.pretraining.config import PretrainConfig
    from scldm.pretraining.model import build

    folder = tmp_path_factory.mktemp("prior") / "encoders"
    config = PretrainConfig.model_validate({**tiny, "out": "unused"})
    facts = {"stage": "pretraining", "config": config.model_dump(mode="json")}
    save_encoders(build(config).eval().encoders, folder, facts)
    return folder


def test_the_prior_is_the_mean_latent_of_balanced_faces(
    encoders: Path, population: Path, tmp_path: Path
) -> None:
    out = tmp_path / "prior.safetensors"
    said = make_prior(encoders, population, "train", 20, out, (4, 10, 20), 3, "cpu")
    prior = load_prior(out)
    networks, samples = load_encoders(encoders), open_samples(population, "train", "face")
    assert prior.check(networks.face_fingerprint).facts["count"] == 20
    assert prior.facts["manifest"] == samples.manifest.digest
    order = balanced_order(samples.manifest, 20, 3)
    faces = torch.stack([torch.tensor(samples.face(int(row), 32)) for row in order])
    with torch.no_grad():
        latents = networks.face_encoder(to_unit(faces.permute(0, 3, 1, 2))).double()
    torch.testing.assert_close(prior.mean.double(), latents.mean(0), atol=1e-6, rtol=1e-5)
    assert prior.mean.abs().max() > 1e-3  # latents are never centred
    assert [row["n2"] for row in prior.facts["convergence"]] == [10, 20]
    assert (tmp_path / "prior.table1.md").read_text() in said and "prior of 20 faces" in said


def test_the_same_command_writes_the_same_bits(
    encoders: Path, population: Path, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors")]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        make_prior(encoders, population, "train", 8, file, (), seed, "cpu")
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()


def test_a_stopped_call_goes_on_where_it_was(
    encoders: Path, population: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of two, a stand every four faces; stopped in the middle, then finished."""
    monkeypatch.setattr("scldm.prior.command.SAVE", 4)
    encoded: list[int] = []

    def some(encoder: Any, samples: Any, order: Any, size: int) -> Iterator[torch.Tensor]:
        encoded.append(len(order))
        for n, batch in enumerate(encode(encoder, samples, order, size, 2)):
            if len(encoded) == 2 and n == 3:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr("scldm.prior.command.encode", some)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    make_prior(encoders, population, "train", 12, whole, (4, 12), 0, "cpu")
    with pytest.raises(KeyboardInterrupt):
        make_prior(encoders, population, "train", 12, parts, (4, 12), 0, "cpu")
    assert not parts.exists()
    make_prior(encoders, population, "train", 12, parts, (4, 12), 0, "cpu")
    assert encoded == [12, 12, 8] and parts.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "parts.safetensors", "parts.table1.md", "whole.safetensors", "whole.table1.md"]


@pytest.mark.parametrize(
    ("count", "table", "words"),
    [(20, (4, 30), "--convergence 30: beyond --count 20"), (9, (), "even number"),
     (4000, (), "needs 2000 of each gender; there are")],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_written(
    encoders: Path, population: Path, tmp_path: Path, count: int, table: tuple[int, ...], words: str
) -> None:
    out = tmp_path / "prior.safetensors"
    with pytest.raises(InputError, match=words):
        make_prior(encoders, population, "train", count, out, table, 0, "cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_encoders_is_refused(population: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint folder"):
        make_prior(tmp_path / "none", population, "train", 4, tmp_path / "p", (), 0, "cpu")
