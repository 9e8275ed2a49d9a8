"""Face to voice by the command line: voices, their evaluation, DCTS, round trips, bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from scldm.cli import main
from scldm.core.artifact import read_json
from scldm.evaluation.dcts import read_embeddings
from scldm.voice.config import VoiceConfig
from tests.voice.conftest import MakeVoice
from tests.voice.tiny import save_hearing, tiny_xvector_network

TEXT = "the boat left the harbour"


def run_voice(checkpoint: Path, population: Path, out: Path, *more: str) -> int:
    return main(["voice", "--checkpoint", str(checkpoint), "--manifest", str(population),
                 "--text", TEXT, "--out", str(out), *more])


@pytest.fixture(scope="module")
def voices(
    voice_checkpoint: Path, population: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two voices of each test face, and each person's own in `true`."""
    out = tmp_path_factory.mktemp("voices")
    assert run_voice(voice_checkpoint, population, out / "face", "--voices", "2") == 0
    assert run_voice(voice_checkpoint, population, out / "true", "--voices", "1", "--control",
                     "true-voice") == 0
    return out


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A speaker encoder that had no part in training: x-vectors of random weights."""
    return save_hearing(
        tiny_xvector_network(), tmp_path_factory.mktemp("judge") / "wavlm", do_normalize=True
    )


def test_voices_are_sound_at_16_khz(voices: Path) -> None:
    lines = [json.loads(x) for x in (voices / "face/manifest.jsonl").read_text().splitlines()]
    sound, rate = soundfile.read(voices / "face" / lines[0]["path"])
    assert rate == 16_000 and len(sound) > rate / 2 and 0.05 < np.abs(sound).max() < 1
    assert lines[0]["text"] == TEXT and lines[0]["tts"] == "babble"


def test_evaluation_writes_every_figure(
    voices: Path, population: Path, judge: Path, tmp_path: Path
) -> None:
    status = main(["evaluate-voice", "--voices", str(voices / "face"), "--truth", str(population),
                   "--judge", str(judge), "--reference",
                   str(voices / "true"), "--words", "no", "--k", "2", "--out", str(tmp_path)])
    assert status == 0
    methods = read_json(tmp_path / "metrics.json")["methods"]
    wanted = {"similarity", "R@1", "gender by F0", "F0 plausible", "F0 error", "MCD", "F0 RMSE",
              "DCTS", "RIR", "RCR"}
    assert wanted <= methods["face"].keys()
    assert {"face, shuffled faces", "face, shuffled within gender",
            "real other recording"} <= methods.keys()
    for figure in methods["face"].values():
        assert figure["low"] <= figure["value"] <= figure["high"]
    kept = read_embeddings(tmp_path / "embeddings.npz")
    assert len(kept.identity) == 2 * len({*kept.identity})
    table = (tmp_path / "table.md").read_text()
    assert "gender F" in table and "scldm evaluate-voice" in table or "scldm" in table


def test_dcts_of_the_kept_embeddings(
    voices: Path, population: Path, judge: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["evaluate-voice", "--voices", str(voices / "face"), "--truth", str(population), "--judge",
          str(judge), "--words", "no", "--k", "2", "--out", str(tmp_path)])
    capsys.readouterr()
    assert main(["dcts", str(tmp_path / "embeddings.npz"), "--k", "2"]) == 0
    printed = capsys.readouterr().out
    measured = read_json(tmp_path / "metrics.json")["methods"]["face"]["DCTS"]["value"]
    assert printed.startswith(f"DCTS {measured:.3f} [")
    assert main(["dcts", str(tmp_path / "embeddings.npz"), "--k", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["k"] == 2


def test_round_trips_come_back(
    chain: Path, voice_checkpoint: Path, population: Path, tmp_path: Path
) -> None:
    command = ["round-trip", "--clips", str(population), "--text", TEXT, "--checkpoint",
               str(chain / "train" / "checkpoint"), "--voice-checkpoint", str(voice_checkpoint),
               "--voice-judge", str(chain / "pretrain" / "encoders"), "--out", str(tmp_path)]
    main(command)  # what an untrained pair draws may hold no voice, which is told
    there = read_json(tmp_path / "voice-face-voice" / "metrics.json")["methods"]
    back = read_json(tmp_path / "face-voice-face" / "metrics.json")["methods"]
    assert "similarity" in there["voices"] and "voices, shuffled faces" in there
    assert "cos" in back["portraits"] and "portraits, shuffled speech" in back


def test_train_voice_by_the_command_line(make_voice: MakeVoice, tmp_path: Path) -> None:
    config: VoiceConfig = make_voice("run")
    (tmp_path / "voice.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["train-voice", str(tmp_path / "voice.yaml")]) == 0
    assert (tmp_path / "run" / "checkpoint" / "hashes.json").is_file()


@pytest.mark.parametrize(("argv", "reason"), [
    (["voice", "no.png"], "no.png: no such file"),
    (["voice"], "give pictures of faces, or --manifest"),
    (["dcts", "no.csv"], "no.csv: no such file"),
    (["train-voice", "no.yaml"], "no.yaml: no such file"),
    (["evaluate-voice", "--voices", "x", "--truth", "no.csv"], "no.csv: no such file"),
    (["round-trip", "--clips", "no.csv"], "no.csv: no such file"),
])  # fmt: skip
def test_bad_paths_have_one_line(
    argv: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == f"scldm: {reason}\n"


@pytest.mark.parametrize("text", ["", "   ", "word " * 1001])
def test_text_of_no_words_or_too_many_leaves_nothing(
    voice_checkpoint: Path, population: Path, tmp_path: Path, text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert main(["voice", "--checkpoint", str(voice_checkpoint), "--manifest", str(population),
                 "--text", text, "--out", str(out)]) == 2
    assert "scldm: " in capsys.readouterr().err and not [*tmp_path.rglob("*.wav")]


@pytest.mark.parametrize("option", ["--rate=0", "--rate=x", "--spread=-1", "--share=1.5",
                                    "--pitch=inf", "--voices=0"])
def test_numbers_out_of_range_are_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["voice", "face.png", option])
    assert stop.value.code == 2 and option.partition("=")[0] in capsys.readouterr().err


def test_unreadable_voices_are_told_and_the_rest_is_measured(
    voices: Path, population: Path, judge: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(voices / "face", tmp_path / "face")
    broken, *_ = sorted((tmp_path / "face").rglob("voice_0.wav"))
    broken.write_bytes(b"RIFF")
    lines = (tmp_path / "face" / "manifest.jsonl").read_text().splitlines()
    stranger = json.dumps({**json.loads(lines[0]), "face": "nobody.png"})
    (tmp_path / "face" / "manifest.jsonl").write_text("\n".join([*lines, stranger]) + "\n")
    status = main(["evaluate-voice", "--voices", str(tmp_path / "face"), "--truth",
                   str(population), "--judge", str(judge), "--words", "no", "--out",
                   str(tmp_path / "out")])
    said = capsys.readouterr().err
    assert status == 2 and str(broken) in said and "nobody.png" in said
    methods = read_json(tmp_path / "out" / "metrics.json")["methods"]
    assert methods["face"]["similarity"]["n"] == 5


def test_an_unknown_synthesiser_is_named(
    voice_checkpoint: Path, population: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_voice(voice_checkpoint, population, tmp_path / "o", "--tts", "parrot") == 2
    assert "--tts parrot: use espeak, babble, speecht5 or a folder" in capsys.readouterr().err
