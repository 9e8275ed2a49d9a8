"""Every stage chained, tiny, by the command line; the checkpoint it makes; bad input to it."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from PIL import Image

from scldm.cli import main
from scldm.core.artifact import write_hashes
from scldm.core.errors import InputError
from scldm.generation.pipeline import SpeechToFacePipeline
from scldm.generation.portraits import free_stem
from tests import media


@pytest.fixture(scope="session")
def chain(tiny, population, tmp_path_factory) -> Path:
    """A folder in which all stages ran: `pretrain`, `prior.safetensors`, `train/checkpoint`."""
    folder = tmp_path_factory.mktemp("chain")
    first = {**tiny, "out": str(folder / "pretrain"), "steps": 2}
    second = {
        "out": str(folder / "train"), "encoders": str(folder / "pretrain" / "encoders"),
        "prior": str(folder / "prior.safetensors"), "data": tiny["data"], "views": 1,
        "unet": {"channels": [32], "layers": 1, "heads": 2, "tokens": 8, "token_width": 16},
        "schedule": "cosine", "prediction": "v_prediction", "batch": 8, "steps": 2,
        "rate": 1e-3, "warmup": 1, "validate_samples": 8, "sampling": {"steps": 4},
    }
    for name, config in (("pretrain", first), ("train", second)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    assert main(["pretrain", str(folder / "pretrain.yaml")]) == 0
    assert main(["prior", "--checkpoint", str(folder / "pretrain" / "encoders"), "--faces",
                 str(population), "--count", "20", "--out", second["prior"],
                 "--convergence", "4,10,20"]) == 0
    assert main(["train", str(folder / "train.yaml")]) == 0
    return folder


@pytest.fixture(scope="session")
def checkpoint(chain: Path) -> Path:
    return chain / "train" / "checkpoint"


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "voice.wav"
    rng = np.random.default_rng(0)
    soundfile.write(path, 0.1 * rng.standard_normal(40_000), 16_000)
    return path


def test_generate_writes_the_contract(checkpoint, clip, tmp_path, capsys):
    other = tmp_path / "again" / clip.name
    other.parent.mkdir()
    shutil.copy(clip, other)
    missing = str(tmp_path / "missing.wav")
    out = tmp_path / "out"
    status = main(["generate", str(clip), missing, str(other), "--out", str(out), "--portraits",
                   "2", "--checkpoint", str(checkpoint), "--beta", "0.1"])
    assert status == 2 and f"{missing}: no such file" in capsys.readouterr().err
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == [
        "voice/portrait_0.png", "voice/portrait_1.png",
        "voice-2/portrait_0.png", "voice-2/portrait_1.png",
    ]
    assert set(lines[0]) == {"clip", "path", "seed", "beta", "prior_mode", "steps", "guidance",
                             "checkpoint", "seconds"}
    assert lines[0]["clip"] == str(clip) and lines[0]["beta"] == 0.1 and lines[0]["seconds"] > 0
    picture = Image.open(out / lines[0]["path"])
    assert picture.size == (32, 32)
    assert "AI-generated" in picture.info["Comment"] and picture.info["beta"] == "0.1"
    same = [(out / line["path"].replace("voice", v)).read_bytes()
            for line in lines[:1] for v in ("voice",)]
    pixels = [np.asarray(Image.open(out / f"{v}/portrait_0.png")) for v in ("voice", "voice-2")]
    assert same and np.array_equal(*pixels)
    assert Image.open(out / "sheet.png").size[0] > 300


def test_a_portrait_depends_on_its_seed_and_number_alone(checkpoint, clip):
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    three = pipeline(clip, portraits=3, seed=5, output_type="pt")
    several = pipeline([clip, clip], portraits=1, seed=5, output_type="pt")
    assert torch.equal(three[0, 0], several[1, 0])
    assert not torch.equal(three[0, 0], three[0, 1])
    other = pipeline(clip, seed=6, output_type="pt")
    assert not torch.equal(three[0, 0], other[0, 0])
    wide = pipeline(clip, portraits=3, seed=5, batch_size=3, output_type="pt")
    torch.testing.assert_close(wide, three, atol=1e-3, rtol=0)


def test_beta_zero_makes_the_prior_modes_equal(checkpoint, clip):
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    faces = [pipeline(clip, beta=b, prior_mode=m, output_type="pt")
             for b, m in ((0.0, "input"), (0.0, "literal"), (0.5, "literal"))]
    assert torch.equal(faces[0], faces[1]) and not torch.equal(faces[0], faces[2])


def test_saving_and_loading_keeps_every_bit(checkpoint, clip, tmp_path):
    first = SpeechToFacePipeline.from_pretrained(checkpoint)
    first.save_pretrained(tmp_path / "copy")
    second = SpeechToFacePipeline.from_pretrained(tmp_path / "copy")
    assert first.fingerprint == second.fingerprint
    assert torch.equal(first(clip, output_type="pt"), second(clip, output_type="pt"))


@pytest.fixture
def copy(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


def test_an_altered_checkpoint_is_refused(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match=r"unet/\S+ was altered"):
        SpeechToFacePipeline.from_pretrained(copy)
    weights.unlink()
    with pytest.raises(InputError, match=r"unet/\S+ is missing"):
        SpeechToFacePipeline.from_pretrained(copy)


def test_a_pickled_file_is_not_opened(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    write_hashes(copy)
    with pytest.raises(InputError, match="unet: cannot be loaded"):
        SpeechToFacePipeline.from_pretrained(copy)


def test_a_prior_of_another_encoder_is_refused(copy, chain, population, tmp_path):
    from safetensors.torch import load_file, save_file

    encoder = copy / "face_encoder" / "diffusion_pytorch_model.safetensors"
    save_file({k: v + 1 if v.is_floating_point() else v for k, v in load_file(encoder).items()},
              encoder, metadata={"format": "pt"})
    write_hashes(copy)
    with pytest.raises(InputError, match="the prior was fitted with face encoder"):
        SpeechToFacePipeline.from_pretrained(copy)


def test_info_tells_what_things_are(chain, checkpoint, capsys):
    assert main(["info", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    assert "fingerprint" in said and "32 pixels" in said and "v_prediction" in said
    assert main(["info", str(chain / "prior.safetensors")]) == 0
    assert "20 faces (10 F, 10 M)" in capsys.readouterr().out


def test_every_bad_recording_has_its_line_and_the_good_one_goes_on(checkpoint, clip, tmp_path):
    bad = {}
    for name, (make, reason) in media.BAD_SOUNDS.items():
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        make(folder / name)
        bad[str(folder / name)] = reason
    quiet, short = tmp_path / "quiet.wav", tmp_path / "short.wav"
    soundfile.write(quiet, np.zeros(32_000), 16_000)
    soundfile.write(short, 0.1 * np.ones(4_000), 16_000)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "scldm", "generate", *bad, str(quiet), str(short), str(clip),
               "--out", str(out), "--portraits", "1", "--checkpoint", str(checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    for path, reason in {**bad, str(quiet): "silen", str(short): "0.5"}.items():
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"scldm: {path}")]
        assert len(lines) == 1 and re.search(reason, lines[0]), (path, lines)
    assert [p.parent.name for p in out.rglob("portrait_*.png")] == ["voice"]


def torchless(*argv: str) -> tuple[int, str]:
    """Exit status and stderr of a command that must end before torch is imported."""
    code = ("import sys; from scldm.cli import main; s = main(sys.argv[1:]); "
            "assert 'torch' not in sys.modules; sys.exit(s)")
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("argv, reason", [
    (["generate", "no.wav"], "no.wav: no such file"),
    (["generate", "."], ".: is a directory"),
    (["pretrain", "no.yaml"], "no.yaml: no such file"),
    (["info", "nothing"], "nothing: no such checkpoint or prior"),
    (["prior", "--checkpoint", "x", "--faces", "no.csv", "--out", "p"], "no.csv: no such file"),
])  # fmt: skip
def test_paths_are_checked_before_torch_is_imported(argv, reason):
    status, said = torchless(*argv)
    assert status == 2 and said.strip() == f"scldm: {reason}" or said.startswith(f"scldm: {reason}")


def test_an_out_below_a_file_is_refused_and_leaves_nothing(clip, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    status = main(["generate", str(clip), "--out", str(tmp_path / "file" / "out")])
    assert status == 2 and "cannot be written" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_unknown_key_names_the_nearest(chain, capsys):
    assert main(["pretrain", str(chain / "pretrain.yaml"), "face_rat=1"]) == 2
    assert "unknown key 'face_rat'; the nearest known is 'face_rate'" in capsys.readouterr().err


def test_unequal_genders_are_refused(chain, population, tmp_path, capsys):
    status = main(["prior", "--checkpoint", str(chain / "pretrain" / "encoders"), "--faces",
                   str(population), "--count", "1000", "--out", str(tmp_path / "p.safetensors")])
    assert status == 2 and "needs 500 of each gender; there are" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "scldm", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5  # of processor time: the machine may be busy


def test_a_taken_stem_gets_a_number():
    taken: set[str] = set()
    assert [free_stem("a", taken) for _ in range(3)] == ["a", "a-2", "a-3"]


def test_population_refuses_a_folder_that_is_not_empty(tmp_path, capsys):
    (tmp_path / "x").write_text("")
    assert main(["population", "--people", "4", "--out", str(tmp_path)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
