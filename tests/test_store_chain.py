"""All stages run from a packed store, and none of them knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from scldm.cli import main
from scldm.core.artifact import read_json
from tests.films import film, talking, voice


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def test_every_stage_runs_from_a_store_of_videos(
    tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Videos of people with known gender -> manifest -> store -> encoders -> prior -> portraits."""
    folder, store = tmp_path / "films", tmp_path / "store"
    folder.mkdir()
    rows = ["audio,face,person,gender,age_lo,age_hi,split"]
    for who in range(10):
        if who == 9:  # somebody without a voice
            film(folder / "9.mp4", [(9, 120, 60, 220)], 0 * voice(9))
        else:
            talking(folder / f"{who}.mp4", who)
        split = "train" if who < 6 else "val" if who < 8 else "test"
        rows.append(f"{who}.mp4,{who}.mp4,p{who},{'FM'[who % 2]},30,40,{split}")
    (folder / "people.csv").write_text("\n".join(rows) + "\n")
    run("prepare", "manifest", folder / "people.csv", "--out", store, "--recipe", "size=64")
    assert "skipped: 1 no speech" in capsys.readouterr().out
    data = {**tiny["data"], "faces": str(store), "speech": [str(store)]}
    first = {**tiny, "data": data, "out": str(tmp_path / "pretrain"), "steps": 2, "batch": 4}
    second = {
        "out": str(tmp_path / "train"), "encoders": str(tmp_path / "pretrain" / "encoders"),
        "prior": str(tmp_path / "prior.safetensors"), "data": data, "views": 1,
        "unet": {"channels": [32], "layers": 1, "heads": 2, "tokens": 8, "token_width": 16},
        "schedule": "cosine", "prediction": "v_prediction", "batch": 8, "steps": 2,
        "rate": 1e-3, "warmup": 1, "validate_samples": 8, "sampling": {"steps": 4},
    }
    for name, config in (("pretrain", first), ("train", second)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))
    run("pretrain", tmp_path / "pretrain.yaml")
    run("prior", "--checkpoint", second["encoders"], "--faces", store, "--count", 8, "--out",
        second["prior"], "--convergence", "2,4,8")
    run("train", tmp_path / "train.yaml")
    checkpoint, out = tmp_path / "train" / "checkpoint", tmp_path / "portraits"
    run("generate", "--manifest", store, "--checkpoint", checkpoint, "--out", out)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert {line["clip"] for line in lines} == {f"{store}/000008 8.mp4.0.flac"}
    run("controls", "--clips", store, "--checkpoint", checkpoint, "--out", tmp_path / "controls")
    run("evaluate", "--portraits", out, "--truth", store, "--faces", store, "--out",
        tmp_path / "evaluation")
    methods = read_json(tmp_path / "evaluation" / "metrics.json")["methods"]
    assert methods["portraits"]["cos"]["value"] > 0
    assert methods["portraits"]["gender"]["n"] == 1
