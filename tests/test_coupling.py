"""Speech changes the portrait in the right way, beyond gender.

In the synthetic population face and voice follow from the same latent factors. A linear probe reads
the factors off a face, within gender; trained on real faces, it is asked of portraits of unseen
people's clips. The control is the portrait of another person of the same gender.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from scldm.data.faces import to_unit
from scldm.data.pairs import Pairs, PairsConfig
from scldm.data.population import TRAITS, person, write_population
from scldm.diffusion.config import TrainConfig
from scldm.diffusion.loop import train
from scldm.generation.assemble import assemble
from scldm.generation.grid import draw_portraits
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.loop import pretrain
from scldm.prior.command import make_prior

FACTORS = (*TRAITS, "age", "build")
HEARD = [name != "skin" for name in FACTORS]  # nothing in a voice follows from skin


def factors(people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, factors) within gender, in standard deviations; (rows,) whether a man."""
    who = [person(0, int(name.rpartition("_")[2])) for name in people]
    men = np.array([p.sex == "M" for p in who])
    return within(np.array([[*p.traits, p.age, p.build] for p in who], float), men), men


def within(values: np.ndarray, men: np.ndarray) -> np.ndarray:
    """Less the mean of the gender, over the standard deviation of what is left."""
    values = values.astype(float)
    for sex in (True, False):
        values[men == sex] -= values[men == sex].mean(0)
    return values / values.std(0)


def pixels(faces: np.ndarray) -> np.ndarray:
    return to_unit(torch.from_numpy(np.array(faces))).flatten(1).numpy()


def fit_probe(faces: np.ndarray, men: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Ridge regression (pixels, factors) of the factors on faces (N, S, S, 3), within gender."""
    x = faces.copy()
    for sex in (True, False):
        x[men == sex] -= x[men == sex].mean(0)
    return x.T @ np.linalg.solve(x @ x.T + 30 * np.eye(len(x)), wanted)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> dict[str, Any]:
    """A model trained on 560 people; factors that a probe sees in portraits of 400 others."""
    root = tmp_path_factory.mktemp("coupling")
    manifest = write_population(
        root / "people", 1000, photos=2, clips=2, size=64, splits=(0.56, 0.04, 0.4)
    )
    data = {"faces": str(manifest), "speech": [str(manifest)], "match": "person",
            "image_size": 32, "variants": 1, "workers": 0}  # fmt: skip
    encoders = pretrain(PretrainConfig.model_validate({
        "out": str(root / "pretrain"), "data": data, "precision": "no",
        "speech": {"widths": [8, 8, 16, 16, 32, 32, 48, 64, 64], "hidden": 128, "first_stride": 2,
                   "frequency_pools": 2},
        "face": {"stages": [[16], [32], [32]], "latent_channels": 8},
        "loss": {"perceptual": "none", "centre": True, "latent_noise": 0.1},
        "batch": 32, "steps": 300, "face_rate": 2e-3, "speech_rate": 2e-3, "decay": "cosine",
    }))  # fmt: skip
    prior = root / "prior.safetensors"
    make_prior(encoders, manifest, "train", 400, prior, (), 0, "cpu")
    denoiser = train(TrainConfig.model_validate({
        "out": str(root / "train"), "data": data, "encoders": str(encoders), "prior": str(prior),
        "unet": {"channels": [48, 64], "layers": 1, "heads": 4, "tokens": 8, "token_width": 32},
        "schedule": "cosine", "prediction": "v_prediction", "sampling": {"steps": 12,
                                                                         "guidance": 2.0},
        "condition_dropout": 0.1, "views": 1, "batch": 64, "steps": 600, "rate": 2e-3,
        "warmup": 30, "decay": "cosine", "ema": 0.99,
    }))  # fmt: skip
    pipeline = assemble(denoiser, root / "checkpoint")
    seen, unseen = (
        Pairs(PairsConfig.model_validate({**data, "variants": 0}), root / "pretrain" / "cache", s)
        for s in ("train", "test")
    )
    probe = fit_probe(pixels(seen.faces), *factors(seen.samples.manifest["person"])[::-1])
    clips = unseen.clips
    speech = pipeline.encode_speech([clips.plain(clip) for clip in range(len(clips.index))])
    people, index = np.unique(clips.column("person"), return_inverse=True)
    made = draw_portraits(pipeline, speech, 2).permute(0, 2, 3, 1).flatten(1).numpy() @ probe
    shown = np.stack([made[np.tile(index, 2) == i].mean(0) for i in range(len(people))])
    wanted, men = factors(people)
    real, owners = pixels(unseen.faces) @ probe, factors(unseen.samples.manifest["person"])
    return {"shown": within(shown, men), "wanted": wanted, "men": men,
            "of real faces": (within(real, owners[1]) * owners[0]).mean(0)}  # fmt: skip


@pytest.mark.full
def test_the_probe_reads_factors_off_unseen_faces(world: dict[str, Any]) -> None:
    assert world["of real faces"][HEARD].mean() > 0.3


@pytest.mark.full
def test_portraits_beat_those_of_others_of_the_same_gender(world: dict[str, Any]) -> None:
    agree = world["shown"][:, HEARD] @ world["wanted"][:, HEARD].T  # portrait of i, factors of j
    same = world["men"][:, None] == world["men"]
    others = (agree * same).sum(1) - agree.diagonal()
    gain = agree.diagonal() - others / (same.sum(1) - 1)
    t = gain.mean() / gain.std() * len(gain) ** 0.5
    assert t > 4, t


@pytest.mark.full
def test_what_no_voice_tells_is_not_shown(world: dict[str, Any]) -> None:
    correlation = (world["shown"] * world["wanted"]).mean(0)[FACTORS.index("skin")]
    assert abs(correlation) < 3 / len(world["men"]) ** 0.5
