"""Every stage chained, tiny, by the command line; the checkpoint it makes; bad input to it."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from scldm.cli import BUNDLED, main
from tests import media


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


def test_a_reader_that_leaves_gets_no_traceback():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "scldm", "info", str(BUNDLED)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_answers_at_once():
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "scldm", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5  # of processor time: the machine may be busy


def test_population_refuses_a_folder_that_is_not_empty(tmp_path, capsys):
    (tmp_path / "x").write_text("")
    assert main(["population", "--people", "4", "--out", str(tmp_path)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
