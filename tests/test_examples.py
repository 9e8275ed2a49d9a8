"""Every command's example is run as it stands, in a folder that holds what it names."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from scldm.cli import EXAMPLES, main
from scldm.core.artifact import check_hashes

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository's examples, configurations and priors, and nothing made."""
    folder = tmp_path_factory.mktemp("workspace")
    for name in ("examples", "configs", "face_prior"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(command: str, folder: Path) -> str:
    """What the example of `command` says on standard output, run in `folder`."""
    program, *words = shlex.split(EXAMPLES[command])
    assert program == "scldm" and words[0] == command
    done = subprocess.run(
        [sys.executable, "-m", "scldm", *words], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_generate(workspace: Path) -> None:
    assert "3 portraits and sheet.png in outputs/anna" in run("generate", workspace)
    pictures = sorted((workspace / "outputs" / "anna").rglob("portrait_*.png"))
    assert [path.parent.name for path in pictures] == ["anna"] * 3
    assert len({Image.open(path).tobytes() for path in pictures}) == 3


def test_voice(workspace: Path) -> None:
    if not (workspace / "outputs" / "anna").exists():
        run("generate", workspace)
    assert "3 voices in outputs/voices" in run("voice", workspace)
    voices = sorted((workspace / "outputs" / "voices").rglob("voice_*.wav"))
    assert [path.parent.name for path in voices] == ["portrait_0"] * 3
    assert len({path.read_bytes() for path in voices}) == 3


def test_evaluate(workspace: Path) -> None:
    clips = sorted(str(p) for p in (workspace / "examples").glob("*.flac"))
    command = ["generate", *clips, "--out", "outputs/demo", "--portraits", "1"]
    subprocess.run([sys.executable, "-m", "scldm", *command], cwd=workspace, check=True,
                   env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert "| demo, shuffled speech |" in run("evaluate", workspace)


def test_table(workspace: Path) -> None:
    assert "| 5000 | 10000 | 1.28 |" in run("table", workspace)
    assert (workspace / "outputs" / "tables" / "table1.json").exists()


def test_info(workspace: Path) -> None:
    assert "10000 faces (5000 F, 5000 M)" in run("info", workspace)


@pytest.mark.full
def test_the_population_goes_through_all_stages_and_studies(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    assert "data/population/manifest.csv" in run("population", workspace)
    assert "300 of 300 clips in data/store" in run("prepare", workspace)
    assert "people: 100" in run("data", workspace)
    assert "runs/population/pretrain/encoders" in run("pretrain", workspace)
    table = run("prior", workspace)
    assert "| 50 | 100 |" in table and "runs/population/prior.safetensors" in table
    assert "runs/population/train/checkpoint" in run("train", workspace)
    check_hashes(workspace / "runs" / "population" / "train" / "checkpoint")
    assert "portraits in outputs/population/direct-decode" in run("controls", workspace)
    assert "runs/population/wen/checkpoint" in run("baseline", workspace)
    assert "| guidance 2 |" in run("ablate", workspace)
    assert "runs/population/voice/checkpoint" in run("train-voice", workspace)
    faces = ["--manifest", "data/population/manifest.csv", "--voices", "8", "--checkpoint",
             "runs/population/voice/checkpoint", "--out", "outputs/population-voices"]
    assert main(["voice", *faces]) == 0
    assert "| population-voices, shuffled faces |" in run("evaluate-voice", workspace)
    assert run("dcts", workspace).startswith("DCTS 0.")
    assert "| voices, shuffled faces |" in run("round-trip", workspace)


@pytest.mark.parametrize("command", EXAMPLES)
def test_help_shows_the_example_on_a_line_that_can_be_copied(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scldm", command, "--help"], capture_output=True, text=True,
        check=True,
    )
    assert f"example: {EXAMPLES[command]}" in done.stdout.splitlines()
