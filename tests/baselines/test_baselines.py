"""Laws of the baselines: they learn, resume to the same bits, and `scldm generate` takes them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scldm.baselines.config import GanConfig, RegressionConfig
from scldm.baselines.gan import Judging, adversarial_loss, train_gan
from scldm.baselines.regression import regression_loss, train_regression
from scldm.cli import main
from scldm.core.errors import InputError
from scldm.encoders.face import FaceDecoder
from scldm.generation.sources import open_source
from tests.stop import stopped_after

GAN = {"stages": [[8]] * 5, "critic": [8, 8], "embedding": 12, "batch": 8, "steps": 6, "views": 1}


@pytest.fixture
def values(tiny: dict[str, Any], cache: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Plain values of a tiny baseline in the test's folder `name`, its cache filled."""

    def make(name: str, **more: Any) -> dict[str, Any]:
        shutil.copytree(cache, tmp_path / name / "cache")
        return {"out": str(tmp_path / name), "data": tiny["data"], "speech": tiny["speech"],
                "precision": "no", **more}

    return make


@pytest.fixture
def gan(values: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., GanConfig]:
    """A tiny GAN's configuration, of folder `name` and the listener in folder `listening`."""

    def make(name: str, listening: str, **more: Any) -> GanConfig:
        listen = {"out": str(tmp_path / listening), "steps": 3, "batch": 6}
        return GanConfig.model_validate(values(name, **{**GAN, "listening": listen, **more}))

    return make


def same_files(one: Path, other: Path) -> bool:
    names = sorted(p.relative_to(one) for p in one.rglob("*.safetensors"))
    return bool(names) and all((one / n).read_bytes() == (other / n).read_bytes() for n in names)


def test_a_gan_learns_resumes_and_draws(
    gan: Callable[..., GanConfig], clip: Path, tmp_path: Path
) -> None:
    whole = train_gan(gan("whole", "one"))
    config = gan("parts", "other")
    for stop in (2, 3):  # while listening, and in the GAN
        with stopped_after(stop):
            train_gan(config)
    assert same_files(whole, train_gan(config))
    out = tmp_path / "out"
    assert main(["generate", str(clip), "--checkpoint", str(whole), "--out", str(out)]) == 0
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) == 1  # there is no chance in it
    assert lines[0]["seed"] is None and lines[0]["checkpoint"]
    assert (out / "sheet.png").exists()


def test_without_identity_there_is_no_classifier(gan: Callable[..., GanConfig]) -> None:
    folder = train_gan(gan("plain", "one", identity=0, adversarial="least-squares"))
    state = max((folder.parent / "checkpoints").iterdir()) / "state.safetensors"
    assert b"critic" in state.read_bytes() and b"classifier" not in state.read_bytes()


def test_gans_share_a_listener(
    gan: Callable[..., GanConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    one = train_gan(gan("one", "shared"))
    assert "listening: 3/3" in capsys.readouterr().err
    other = train_gan(gan("other", "shared", identity=0))
    assert "listening: 1/3" not in capsys.readouterr().err
    name = Path("speech_encoder", "diffusion_pytorch_model.safetensors")
    assert (one / name).read_bytes() == (other / name).read_bytes()
    with pytest.raises(InputError, match="another configuration"):
        train_gan(gan("third", "shared", seed=1))


def test_regression_resumes_and_its_decoder_is_that_of_stage_1(
    values: Callable[..., dict[str, Any]], chain: Path
) -> None:
    more = {"encoders": str(chain / "pretrain" / "encoders"), "batch": 6, "steps": 4}
    whole = train_regression(RegressionConfig.model_validate(values("whole", **more)))
    config = RegressionConfig.model_validate(values("parts", **more))
    with stopped_after(2):
        train_regression(config)
    assert same_files(whole, train_regression(config))
    name = Path("face_decoder") / "diffusion_pytorch_model.safetensors"
    assert (whole / name).read_bytes() == (chain / "pretrain" / "encoders" / name).read_bytes()


def test_regression_of_the_truth_costs_nothing() -> None:
    decoder = FaceDecoder([[8]], 4)
    true = torch.randn(3, 4, 2, 2)
    terms = regression_loss(true, true, decoder, 1.0)
    assert all(term.item() == pytest.approx(0, abs=1e-6) for term in terms.values())
    opposite = regression_loss(-true, true, decoder, 0.5)["direction"]
    assert opposite.item() == pytest.approx(0.5 * 4)  # |a - b| = 2 for opposite directions


@pytest.mark.parametrize("kind", ["cross-entropy", "least-squares"])
def test_the_adversarial_loss_falls_towards_what_is_wanted(kind: Any) -> None:
    low, high = torch.full((5, 1), -3.0), torch.full((5, 1), 1.0)
    assert adversarial_loss(high, True, kind) < adversarial_loss(low, True, kind)
    by_hand = {"cross-entropy": 0.313262, "least-squares": 0.0}
    assert adversarial_loss(high, True, kind).item() == pytest.approx(by_hand[kind], abs=1e-5)


def test_judging_networks_answer_for_each_face() -> None:
    assert Judging([4, 8], 32, 7)(torch.zeros(3, 3, 32, 32)).shape == (3, 7)


@pytest.mark.parametrize(
    ("more", "words"),
    [({"stages": [[8]] * 4}, "stages: 4 lead to a side of 16, and data.image_size is 32"),
     ({"critic": [8] * 6}, "critic: 6 halvings do not fit a side of 32")],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_told(
    gan: Callable[..., GanConfig], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        train_gan(gan("bad", "one", **more))


def test_encoders_alone_draw_no_portraits(chain: Path) -> None:
    with pytest.raises(InputError, match="of stage pretraining, and no checkpoint"):
        open_source(chain / "pretrain" / "encoders", torch.device("cpu"))
