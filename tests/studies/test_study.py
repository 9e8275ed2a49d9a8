"""Laws of studies: which variants there are, and that every file in configs/ablations is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from scldm.core.config import check_config, load_config, merge
from scldm.core.errors import InputError
from scldm.diffusion.config import TrainConfig
from scldm.pretraining.config import PretrainConfig
from scldm.studies.ablate import check_wish
from scldm.studies.study import read_study, slug, variants

CONFIGS = Path(__file__).parents[2] / "configs"
TRAIN = CONFIGS / "population-train.yaml"


@pytest.mark.parametrize("name", [p.stem for p in (CONFIGS / "ablations").glob("*.yaml")])
def test_every_study_is_a_question_whose_deltas_fit_the_configurations(name: str) -> None:
    study = read_study(name, TRAIN)
    assert study.question.partition(" (")[0].endswith("?")  # (where the paper asks it)
    train = load_config(TrainConfig, TRAIN).model_dump(mode="json")
    first = load_config(PretrainConfig, CONFIGS / "population-pretrain.yaml")
    found = variants(study)
    assert len({v.name for v in found}) == len(found) > 1
    for variant in found:
        check_config(TrainConfig, merge(train, variant.delta.train), name)
        check_config(
            PretrainConfig, merge(first.model_dump(mode="json"), variant.delta.pretrain), name
        )
        assert check_wish(variant).portraits == 3


def test_an_axis_meets_every_value_of_its_series() -> None:
    found = variants(read_study("beta", TRAIN, (0.0, 0.5)))
    assert [v.name for v in found] == [
        "beta 0, input", "beta 0, literal", "beta 0.5, input", "beta 0.5, literal",
    ]
    assert [v.delta.train for v in found] == [{"beta": 0}] * 2 + [{"beta": 0.5}] * 2
    assert found[3].delta.sample == {"prior_mode": "literal"} and found[3].value == 0.5


def test_a_slug_names_every_key() -> None:
    assert slug({}) == ""
    assert slug({"loss": {"contrastive": 0}, "seed": 2}) == "loss.contrastive=0,seed=2"


def test_bad_studies_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "ablations").mkdir()
    config = tmp_path / "train.yaml"
    for text, words in (
        ("question: q", "give variants, or axis and values"),
        ("question: q\nvariants: {a: {train: {}}}\naxis: train.beta", "give variants, or axis"),
        ("question: q\nvariants: {a: {trian: {}}}", "unknown key"),
    ):
        (tmp_path / "ablations" / "x.yaml").write_text(text)
        with pytest.raises(InputError, match=words):
            read_study("x", config)
    with pytest.raises(InputError, match="no such study; there are: x"):
        read_study("y", config)
    with pytest.raises(InputError, match="the study components has no axis"):
        read_study("components", TRAIN, (1.0,))
    (tmp_path / "ablations" / "x.yaml").write_text(
        "question: q\nvariants: {a: {sample: {stepz: 3}}}"
    )
    with pytest.raises(InputError, match=r"a: sample.stepz: use beta, guidance"):
        check_wish(variants(read_study("x", config))[0])
