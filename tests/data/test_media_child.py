"""Laws of the child process: it serves, is replaced, and ends; no file harms another."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from scldm.data.media import client, read_audio
from tests import media


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = media.write_sound(tmp_path / "clip.wav", media.tone(1.0), 16_000)
    assert len(read_audio(path)) == 16_000
    return path


def test_one_child_serves_all_requests_and_has_no_torch(clip: Path) -> None:
    pid = media.child_pid()
    read_audio(clip)
    assert media.child_pid() == pid != os.getpid()
    if sys.platform == "linux":
        assert "torch" not in Path(f"/proc/{pid}/maps").read_text()


def test_a_child_that_died_idle_is_replaced_unnoticed(clip: Path) -> None:
    dead = media.child_pid()
    os.kill(dead, signal.SIGKILL)
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    assert len(read_audio(clip)) == 16_000
    assert media.child_pid() != dead


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGSEGV, "the decoder crashed on it (SIGSEGV)"),
        (signal.SIGKILL, "the decoder crashed on it (SIGKILL)"),
        (signal.SIGXCPU, "decoding took longer than 60 s of processor time"),
    ],
)
def test_a_child_that_dies_over_a_file_costs_that_file_only(
    clip: Path, number: signal.Signals, reason: str
) -> None:
    pid = media.child_pid()
    os.kill(pid, signal.SIGSTOP)
    dying = threading.Timer(0.1, lambda: [os.kill(pid, s) for s in (number, signal.SIGCONT)])
    dying.start()
    assert media.refusal(read_audio, clip) == reason
    dying.join()
    assert len(read_audio(clip)) == 16_000


def test_a_child_that_hangs_is_replaced(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.kill(media.child_pid(), signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(client, "WALL_SECONDS", 0.2)
        assert media.refusal(read_audio, clip) == "decoding took longer than 0.2 s"
    assert len(read_audio(clip)) == 16_000


def test_interrupts_and_terminations_are_the_parents_affair(clip: Path) -> None:
    pid = media.child_pid()
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert len(read_audio(clip)) == 16_000
    assert media.child_pid() == pid


def test_threads_get_their_own_files(tmp_path: Path) -> None:
    levels = [0.1 * (i + 1) for i in range(8)]
    paths = [
        media.write_sound(
            tmp_path / f"{i}.wav", media.tone(0.5 + i / 10, level=level), 16_000, "FLOAT"
        )
        for i, level in enumerate(levels)
    ]
    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(read_audio, paths * 10))
    for number, audio in enumerate(heard):
        expected = media.tone(0.5 + number % 8 / 10, level=levels[number % 8])[:, 0]
        np.testing.assert_array_equal(audio, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_starts_its_own_child(clip: Path) -> None:
    parents = media.child_pid()
    fork = os.fork()
    if not fork:
        right = len(read_audio(clip)) == 16_000 and media.child_pid() != parents
        client.decoder.close()
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
    assert len(read_audio(clip)) == 16_000
    assert media.child_pid() == parents


def test_the_child_ends_with_its_parent(clip: Path) -> None:
    code = (
        "import os, sys\nfrom scldm.data.media import client, read_audio\nread_audio(sys.argv[1])\n"
        "print(client.decoder.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    root = Path(client.__file__).parents[3]
    command = [sys.executable, "-c", code, str(clip)]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL
    for _ in range(100):
        state = subprocess.run(["ps", "-o", "stat=", "-p", run.stdout.strip()], capture_output=True)
        if state.stdout.strip()[:1] in (b"", b"Z"):
            return
        time.sleep(0.02)
    pytest.fail("the child is still there")


def test_the_child_is_of_the_same_package_and_finds_nothing_else_there(tmp_path: Path) -> None:
    package = Path(client.__file__).parents[2]
    for part in ("__init__.py", "core/__init__.py", "core/errors.py", "data/__init__.py"):
        (tmp_path / "scldm" / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package / part, tmp_path / "scldm" / part)
    shutil.copytree(package / "data/media", tmp_path / "scldm/data/media")
    with open(tmp_path / "scldm/data/media/limits.py", "a") as file:
        file.write("MOST_PIXELS = 3_000_000\n")
    for stray in ("av.py", "scldm/data/media/av.py"):
        (tmp_path / stray).write_text("raise ImportError")
    picture = media.huge_picture(tmp_path / "a.png", side=2000)
    code = (
        "import sys\nsys.path.insert(0, '.')\nfrom scldm.data.media import read_image\n"
        "try: read_image('a.png')\nexcept Exception as error: print(error)"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == f"{picture.name}: has 4.0 megapixels; at most 3 are read"
