"""A study runs through all stages, shares what trains alike, and resumes in the middle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from scldm.cli import main
from scldm.core.artifact import read_json
from scldm.studies import ablate as module

STUDIES = {
    "beta": {"question": "What does the prior do?", "axis": "train.beta", "values": [0.0, 0.01],
             "series": {"sample.prior_mode": ["input", "literal"]}},
    "components": {"question": "What does stage 1 bring?", "variants": {
        "base": {"pretrain": {"loss": {"contrastive": 0}},
                 "train": {"speech": "scratch", "beta": 0}},
        "CP and PN": {}}},
}  # fmt: skip


@pytest.fixture
def config(chain: Path, tmp_path: Path) -> Path:
    """A copy of the chain's configuration beside studies; its run is there."""
    shutil.copytree(chain / "train", tmp_path / "train")
    values = {**yaml.safe_load((chain / "train.yaml").read_text()), "out": str(tmp_path / "train")}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "ablations").mkdir()
    for name, study in STUDIES.items():
        (tmp_path / "ablations" / f"{name}.yaml").write_text(yaml.safe_dump(study))
    return tmp_path / "train.yaml"


def test_beta_trains_once_a_value_and_resumes(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained, drawn, out = [], [], tmp_path / "out"
    train, generate = module.train, module.generate
    monkeypatch.setattr(module, "train", lambda c: (trained.append(c.beta), train(c))[1])

    def stopping(source, clips, folder, wish, sheet):  # type: ignore[no-untyped-def]
        if len(drawn) == 2:
            drawn.append("stopped")
            raise SystemExit
        drawn.append(folder.name)
        return generate(source, clips, folder, wish, sheet)

    monkeypatch.setattr(module, "generate", stopping)
    command = ["ablate", "beta", str(config), "--out", str(out)]
    with pytest.raises(SystemExit):
        main(command)
    assert not (out / "metrics.json").exists()
    assert main(command) == 0
    assert trained == [0.0]  # that of 0.01 is the chain's own run
    names = [f"beta {b}, {mode}" for b in ("0", "0.01") for mode in ("input", "literal")]
    assert drawn == [*names[:2], "stopped", *names]
    said = capsys.readouterr()
    assert said.err.count("there already") == 2 and "What does the prior do?" in said.out
    methods = read_json(out / "metrics.json")["methods"]
    assert {*names} <= {*methods}
    assert methods[names[0]] == methods[names[1]]  # with beta 0 both modes are the same
    assert methods[names[0]]["cos, mean of three"]["n"] > 1
    assert Image.open(out / "axis.png").width > 600
    assert Image.open(out / "portraits.png").width > 600


def test_components_train_their_own_stage_1(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["ablate", "components", str(config), "--out", str(out)]) == 0
    runs = {path.name for path in (out / "runs").iterdir()}
    assert runs == {"pretrain loss.contrastive=0",
                    "train loss.contrastive=0 beta=0,speech=scratch"}  # fmt: skip
    facts = read_json(out / "runs" / "train loss.contrastive=0 beta=0,speech=scratch"
                      / "checkpoint" / "facts.json")  # fmt: skip
    assert facts["encoders"]["config"]["loss"]["contrastive"] == 0
    capsys.readouterr()
    assert main(["table", "4", str(out / "metrics.json"), "--out", str(tmp_path / "t")]) == 0
    text = (tmp_path / "t" / "table4.md").read_text()
    assert text in capsys.readouterr().out
    values = json.loads((tmp_path / "t" / "table4.json").read_text())
    methods = read_json(out / "metrics.json")["methods"]
    assert values["methods"]["base"]["cos"] == methods["base"]["cos"]
    gender = methods["base"]["gender"]
    assert f"| {100 * gender['value']:.4g} [" in text and "| base | 56.39 | 3.3 | 29.83 |" in text


def test_table_1_of_a_prior(chain: Path, tmp_path: Path) -> None:
    words = ["table", "1", str(chain / "prior.safetensors"), "--out", str(tmp_path)]
    assert main(words) == 0
    text = (tmp_path / "table1.md").read_text()
    assert "| 4 | 10 |" in text and "| 100 | 500 | 11.86 |" in text
    assert main([*words[:2], str(chain / "train.yaml"), "--out", str(tmp_path / "no")]) == 2
    assert not (tmp_path / "no").exists()
