"""Laws of opening media: what is heard and seen, what is refused, and that nothing else breaks."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scldm.core.errors import InputError
from scldm.data import _decode, media

_spec = importlib.util.spec_from_file_location("makers", Path(__file__).parents[1] / "media.py")
assert _spec and _spec.loader
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def refusal(read: Callable[[Path], object], path: Path) -> str:
    """The message of the refusal, after its one line and the name in front are checked."""
    with pytest.raises(InputError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text.removeprefix(f"{path}: ")


def child_pid() -> int:
    pid = media._decoder.pid
    assert pid is not None
    return pid


def peak_memory() -> float:
    """MiB that the running child has ever held."""
    status = Path(f"/proc/{child_pid()}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@pytest.fixture
def fresh_child() -> Iterator[None]:
    media._decoder.close()
    yield
    media._decoder.close()


def tone_of(audio: np.ndarray) -> float:
    """Hz of the strongest component."""
    return float(np.argmax(np.abs(np.fft.rfft(audio))) * 16_000 / len(audio))


# --- what is heard -------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_a_tone_survives_resampling(tmp_path: Path, rate: int) -> None:
    path = make.write_sound(tmp_path / "a.wav", make.tone(1.5, rate), rate, "PCM_24")
    audio = media.read_audio(path)
    assert audio.dtype == np.float32 and abs(len(audio) - 24_000) <= 1
    expected = make.tone(1.5)[:, 0]
    np.testing.assert_allclose(audio[800:-800], expected[800 : len(audio) - 800], atol=1e-4)


@pytest.mark.parametrize(("rate", "hz"), [(44_100, 8_500), (48_000, 9_000), (192_000, 17_000)])
def test_what_lies_above_8_khz_is_not_folded_down(tmp_path: Path, rate: int, hz: int) -> None:
    path = make.write_sound(tmp_path / "a.wav", make.tone(1.0, rate, hz), rate, "FLOAT")
    audio = media.read_audio(path)[800:-800]
    assert np.sqrt(np.mean(audio**2)) < 1e-4


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [("PCM_U8", 1e-2), ("PCM_16", 5e-5), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 1e-6)]
    + [("DOUBLE", 1e-6)],
)
def test_every_width_has_full_scale_one(tmp_path: Path, subtype: str, tolerance: float) -> None:
    samples = make.tone(1.0, level=0.9)
    path = make.write_sound(tmp_path / "a.wav", samples, 16_000, subtype)
    np.testing.assert_allclose(media.read_audio(path), samples[:, 0], atol=tolerance)


@pytest.mark.parametrize("channels", [2, 6, 8])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (16_000, channels)).astype(np.float32)
    path = make.write_sound(tmp_path / "a.wav", samples, 16_000, "FLOAT")
    np.testing.assert_allclose(media.read_audio(path), samples.mean(axis=1), atol=1e-6)


CODED = {"mp3": "libmp3lame", "m4a": "aac", "opus": "libopus", "webm": "libopus", "flac": "flac"}
CODED |= {"mp4": "aac", "mkv": "aac", "ogg": ""}


def coded(path: Path, samples: np.ndarray, rate: int) -> Path:
    codec = CODED[path.suffix[1:]]
    if not codec:
        return make.write_sound(path, samples, rate, "VORBIS")
    return make.encode(path, samples, rate, codec, video=path.suffix in (".mp4", ".mkv"))


@pytest.mark.parametrize("suffix", CODED)
def test_coded_sound_has_its_length_and_its_level(tmp_path: Path, suffix: str) -> None:
    path = coded(tmp_path / f"a.{suffix}", make.tone(2.0, 48_000), 48_000)
    audio = media.read_audio(path)
    assert abs(len(audio) - 32_000) < 16_000 * 0.05
    spectrum = np.abs(np.fft.rfft(audio[8000:24_000] * np.hanning(16_000)))
    assert np.argmax(spectrum) == 1000
    level = 0.475 if suffix == "mp3" else 0.5  # lame writes 95 % of the level
    assert np.sqrt(2 * np.mean(audio[8000:24_000] ** 2)) == pytest.approx(level, rel=0.02)


def test_loud_floating_point_sound_is_clipped(tmp_path: Path) -> None:
    path = make.write_sound(tmp_path / "a.wav", make.tone(1.0, level=1.5), 16_000, "FLOAT")
    assert np.abs(media.read_audio(path)).max() == 1.0


# --- the window ----------------------------------------------------------------------------


def expected_clock(seconds: float, window: float) -> np.ndarray:
    times = np.arange(round(window * 16_000)) / 16_000 + (seconds - window) / 2
    return times / seconds * 1.8 - 0.9


@pytest.mark.parametrize("seconds", [10.0, 59.0, 75.0])
def test_the_window_is_the_middle(tmp_path: Path, seconds: float) -> None:
    path = make.write_clock(tmp_path / "a.wav", seconds)
    audio = media.read_audio(path, window=6.0)
    assert len(audio) == 96_000
    np.testing.assert_allclose(audio, expected_clock(seconds, 6.0), atol=1e-4)


def test_a_shorter_recording_is_returned_whole(tmp_path: Path) -> None:
    path = make.write_sound(tmp_path / "a.wav", make.tone(2.5), 16_000)
    assert len(media.read_audio(path, window=6.0)) == 40_000


@pytest.mark.parametrize("window", [0.0, -1.0, 601.0, float("nan")])
def test_a_window_is_above_0_and_at_most_10_minutes(tmp_path: Path, window: float) -> None:
    with pytest.raises(ValueError, match="window must be above 0"):
        media.read_audio(tmp_path / "a.wav", window=window)


@pytest.fixture
def middle(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], np.ndarray]:
    """Read the middle 3 s as of a long recording, though it is just longer than 5 s."""
    monkeypatch.setattr(_decode, "SHORT_SECONDS", 4.0)
    return lambda path: _decode.decode_audio(str(path), 3.0)


@pytest.mark.parametrize(
    ("suffix", "rate", "reach"),  # samples by which the stated length may miss the decoded one
    [("flac", 44_100, 0), ("ogg", 48_000, 0), ("m4a", 16_000, 512), ("opus", 48_000, 100)]
    + [("mp3", 44_100, 450)],
)
def test_the_window_equals_that_part_of_the_whole(
    tmp_path: Path, middle: Callable[[Path], np.ndarray], suffix: str, rate: int, reach: int
) -> None:
    path = coded(tmp_path / f"a.{suffix}", make.speech_like(9.3, rate), rate)
    whole, window = media.read_audio(path), middle(path)
    begin = (len(whole) - 48_000) // 2 - reach
    moved = np.lib.stride_tricks.sliding_window_view(whole[begin:], 500)[: 2 * reach + 1]
    begin += int(np.argmin(np.abs(moved - window[:500]).max(axis=1)))
    np.testing.assert_allclose(window, whole[begin:][:48_000], atol=1e-5)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "mkv"])
def test_where_seeking_fails_counting_finds_the_same_window(tmp_path: Path, suffix: str) -> None:
    path = coded(tmp_path / f"a.{suffix}", make.speech_like(20.0), 16_000)
    sought = _decode._cut(str(path), 19.0, 48_000, seek=True)
    counted = _decode._cut(str(path), 19.0, 48_000, seek=False)
    assert sought is not None and counted is not None
    assert np.abs(sought - counted).max() < 1e-5
    assert _decode._cut(str(path), 60.0, 48_000, seek=True) is None


def test_a_recording_without_a_stated_length_is_counted(
    tmp_path: Path, middle: Callable[[Path], np.ndarray]
) -> None:
    samples = np.concatenate([make.tone(5.0, hz=500), make.tone(5.0, hz=2000)])
    path = tmp_path / "a.webm"
    make.encode(path, samples, 16_000, "libopus", options={"live": "1"})
    with _decode._open(str(path)) as sound:
        assert sound.stated is None
    check_halves(middle(path))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_middle_of_a_film(
    tmp_path: Path, middle: Callable[[Path], np.ndarray], suffix: str
) -> None:
    samples = np.concatenate([make.tone(5.0, hz=500), make.tone(5.0, hz=2000)])
    check_halves(middle(coded(tmp_path / f"a.{suffix}", samples, 16_000)))


def check_halves(audio: np.ndarray) -> None:
    """3 s around the change from 500 Hz to 2 kHz."""
    assert len(audio) == 48_000
    assert tone_of(audio[:23_000]) == pytest.approx(500, abs=1)
    assert tone_of(audio[-23_000:]) == pytest.approx(2000, abs=1)


def test_a_sound_much_shorter_than_its_film_is_read(
    tmp_path: Path, middle: Callable[[Path], np.ndarray]
) -> None:
    path = make.encode(tmp_path / "a.mkv", make.tone(3.5), 16_000, "aac", video=True, film=12)
    audio = middle(path)
    assert len(audio) == 48_000
    assert tone_of(audio) == pytest.approx(1000, abs=1)


def test_a_truncated_film_is_refused_for_a_window_too(
    tmp_path: Path, middle: Callable[[Path], np.ndarray]
) -> None:
    film = tmp_path / "whole.mp4"
    options = {"movflags": "faststart"}
    make.encode(film, make.tone(10.0), 16_000, "aac", video=True, options=options)
    path = make.cut_short(film, tmp_path / "a.mp4", 0.7)
    with pytest.raises(_decode.Refused, match=r"^is truncated: \d\.\d of 10\.0 seconds are there$"):
        middle(path)


@linux
@pytest.mark.usefixtures("fresh_child")
@pytest.mark.parametrize(
    "minutes", [20, pytest.param(120, marks=pytest.mark.full)], ids=["20min", "2h"]
)
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_long_recordings_take_bounded_memory(tmp_path: Path, suffix: str, minutes: int) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "mp3":
        make.repeated_mp3(path, 60 * minutes)
    else:
        make.write_clock(path, 60 * minutes)
    media.read_audio(make.write_sound(tmp_path / "short.wav", make.tone(6.0), 16_000))
    before = peak_memory()
    audio = media.read_audio(path, window=6.0)
    assert len(audio) == 96_000
    assert peak_memory() - before < 25  # MiB
    if suffix != "mp3":
        np.testing.assert_allclose(audio, expected_clock(60 * minutes, 6.0), atol=1e-4)
    text = refusal(media.read_audio, path)
    assert text.startswith("is longer than 10 minutes; give a window")


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("name", make.BAD_SOUNDS)
@pytest.mark.parametrize("window", [None, 6.0])
def test_bad_recordings_are_refused(tmp_path: Path, name: str, window: float | None) -> None:
    maker, reason = make.BAD_SOUNDS[name]
    path = maker(tmp_path / name)
    assert re.match(reason, refusal(lambda p: media.read_audio(p, window=window), path))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "m4a", "webm", "png"])
def test_mutated_files_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    source, path = tmp_path / f"good.{suffix}", tmp_path / f"bad.{suffix}"
    if suffix == "png":
        Image.radial_gradient("L").save(source)
    elif suffix == "wav":
        make.write_sound(source, make.speech_like(1.0), 16_000)
    else:
        coded(source, make.speech_like(1.0), 16_000)
    for seed in range(25):
        make.mutated(source, path, seed)
        try:
            result = media.read_image(path) if suffix == "png" else media.read_audio(path)
            assert suffix == "png" or (np.abs(result).max() <= 1.0 and len(result))
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


@linux
@pytest.mark.usefixtures("fresh_child")
def test_small_files_that_hold_much_are_refused_in_little_memory(tmp_path: Path) -> None:
    silence = np.zeros((8000 * 700, 1), np.float32)
    sound = make.write_sound(tmp_path / "a.flac", silence, 8000)
    picture = make.huge_picture(tmp_path / "a.png")
    assert sound.stat().st_size < 200_000 and picture.stat().st_size < 40_000
    assert refusal(media.read_audio, sound).startswith("is longer than 10 minutes")
    assert refusal(media.read_image, picture) == "has 169.0 megapixels; at most 25 are read"
    assert peak_memory() < 120  # MiB


def test_names_are_printed_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"two\\nlines.wav': no such file$"):
        media.read_audio(tmp_path / "two\nlines.wav")


def test_odd_names_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pipe:0.wav", "-i.wav", "ü %d.wav", os.fsdecode(b"\xff.wav")):
        make.write_sound(tmp_path / "plain.wav", make.tone(1.0), 16_000).rename(name)
        assert len(media.read_audio(name)) == 16_000


@linux
def test_devices_are_refused() -> None:
    assert refusal(media.read_audio, Path("/dev/zero")) == "is not a regular file"


@pytest.mark.parametrize(
    ("level", "seconds", "reason"),
    [
        (0.0, 2.0, "silent: all samples are zero; speech reaches -60 dBFS"),
        (5e-4, 2.0, "silent: its peak is -66 dBFS; speech reaches -60 dBFS"),
        (0.5, 0.3, "only 0.30 s long; at least 0.5 s of speech are needed"),
        (0.5, 0.0, "only 0.00 s long; at least 0.5 s of speech are needed"),
    ],
)
def test_what_cannot_be_speech(level: float, seconds: float, reason: str) -> None:
    audio = make.tone(seconds, level=level)[:, 0]
    assert refusal(lambda p: media.check_speech(audio, p), Path("a.wav")) == reason


def test_quiet_speech_is_speech() -> None:
    media.check_speech(make.tone(0.5, level=1.1e-3)[:, 0], "a.wav")


# --- pictures ------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "tolerance"), [("png", 0), ("jpg", 12), ("webp", 12)])
def test_pictures_are_rgb(tmp_path: Path, suffix: str, tolerance: int) -> None:
    ramp = np.zeros((48, 64, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(64) * 3, np.arange(48)[:, None] * 5
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(ramp).save(path, quality=95)
    image = media.read_image(path)
    assert image.mode == "RGB" and image.size == (64, 48)
    assert np.abs(np.asarray(image).astype(int) - ramp).max() <= tolerance


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_pictures_are_turned_upright(tmp_path: Path, suffix: str) -> None:
    picture = Image.new("RGB", (60, 40), "black")
    picture.paste("white", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: the left side comes to the top
    picture.save(tmp_path / f"a.{suffix}", exif=exif)
    image = media.read_image(tmp_path / f"a.{suffix}")
    assert image.size == (40, 60)
    assert min(image.getpixel((20, 10))) > 240 and max(image.getpixel((20, 50))) < 15


def test_other_colours_become_rgb(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((8, 8), 0x8000, np.uint16))
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    half = Image.new("LA", (8, 8), (0, 128))
    palette = Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4)
    seen = {"deep": (deep, 128), "clear": (clear, 255), "half": (half, 127)}
    for name, (picture, value) in seen.items():
        picture.save(tmp_path / f"{name}.png")
        assert media.read_image(tmp_path / f"{name}.png").getpixel((3, 3)) == (value,) * 3
    palette.save(tmp_path / "palette.png")
    assert media.read_image(tmp_path / "palette.png").getpixel((3, 3)) == (10, 200, 30)
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "print.jpg")
    assert media.read_image(tmp_path / "print.jpg").getpixel((3, 3)) == (255, 255, 255)


def test_a_jpeg_with_a_preview_behind_it_is_one_picture(tmp_path: Path) -> None:
    main, preview = (Image.new("RGB", size, "white") for size in ((64, 48), (16, 12)))
    path = tmp_path / "a.jpg"
    main.save(path, format="MPO", save_all=True, append_images=[preview])
    assert media.read_image(path).size == (64, 48)


def _gif(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, format="GIF")


def _half_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    make.cut_short(path, path)


BAD_PICTURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.png": (lambda path: None, "no such file"),
    "folder.png": (lambda path: path.mkdir(), "is a directory, not a file"),
    "empty.png": (lambda path: path.touch(), "is an empty file"),
    "text.jpg": (lambda path: path.write_text("hello"), "is not a PNG, JPEG or WebP picture"),
    "gif.png": (_gif, "is not a PNG, JPEG or WebP picture"),
    "half.jpg": (_half_jpeg, "cannot be decoded"),
    "moving.webp": (make.animation, "is an animation of 2 frames; give one picture"),
    "moving.png": (make.animation, "is an animation of 2 frames; give one picture"),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
def test_bad_pictures_are_refused(tmp_path: Path, name: str) -> None:
    maker, reason = BAD_PICTURES[name]
    maker(tmp_path / name)
    assert refusal(media.read_image, tmp_path / name).startswith(reason)


@linux
def test_a_picture_that_needs_gigabytes_is_refused(tmp_path: Path) -> None:
    path = make.endless_webp(tmp_path / "a.webp")
    assert refusal(media.read_image, path) == "decoding it takes too much memory"
    assert peak_memory() < 1600


# --- the child process ---------------------------------------------------------------------


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = make.write_sound(tmp_path / "clip.wav", make.tone(1.0), 16_000)
    assert len(media.read_audio(path)) == 16_000
    return path


def test_one_child_serves_all_requests_and_has_no_torch(clip: Path) -> None:
    pid = child_pid()
    media.read_audio(clip)
    assert child_pid() == pid != os.getpid()
    if sys.platform == "linux":
        assert "torch" not in Path(f"/proc/{pid}/maps").read_text()


def test_a_child_that_died_idle_is_replaced_unnoticed(clip: Path) -> None:
    dead = child_pid()
    os.kill(dead, signal.SIGKILL)
    os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
    assert len(media.read_audio(clip)) == 16_000
    assert child_pid() != dead


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
    pid = child_pid()
    os.kill(pid, signal.SIGSTOP)
    dying = threading.Timer(0.1, lambda: [os.kill(pid, s) for s in (number, signal.SIGCONT)])
    dying.start()
    assert refusal(media.read_audio, clip) == reason
    dying.join()
    assert len(media.read_audio(clip)) == 16_000


def test_a_child_that_hangs_is_replaced(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.kill(child_pid(), signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(media, "WALL_SECONDS", 0.2)
        assert refusal(media.read_audio, clip) == "decoding took longer than 0.2 s"
    assert len(media.read_audio(clip)) == 16_000


def test_interrupts_and_terminations_are_the_parents_affair(clip: Path) -> None:
    pid = child_pid()
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert len(media.read_audio(clip)) == 16_000
    assert child_pid() == pid


def test_threads_get_their_own_files(tmp_path: Path) -> None:
    levels = [0.1 * (i + 1) for i in range(8)]
    paths = [
        make.write_sound(
            tmp_path / f"{i}.wav", make.tone(0.5 + i / 10, level=level), 16_000, "FLOAT"
        )
        for i, level in enumerate(levels)
    ]
    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(media.read_audio, paths * 10))
    for number, audio in enumerate(heard):
        expected = make.tone(0.5 + number % 8 / 10, level=levels[number % 8])[:, 0]
        np.testing.assert_array_equal(audio, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_starts_its_own_child(clip: Path) -> None:
    parents = child_pid()
    fork = os.fork()
    if not fork:
        right = len(media.read_audio(clip)) == 16_000 and child_pid() != parents
        media._decoder.close()
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
    assert len(media.read_audio(clip)) == 16_000
    assert child_pid() == parents


def test_the_child_ends_with_its_parent(clip: Path) -> None:
    code = (
        "import os, sys\nfrom scldm.data import media\nmedia.read_audio(sys.argv[1])\n"
        "print(media._decoder.pid, flush=True)\nos.kill(os.getpid(), 9)"
    )
    root = Path(media.__file__).parents[2]
    command = [sys.executable, "-c", code, str(clip)]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL
    for _ in range(100):
        state = subprocess.run(["ps", "-o", "stat=", "-p", run.stdout.strip()], capture_output=True)
        if state.stdout.strip()[:1] in (b"", b"Z"):
            return
        time.sleep(0.02)
    pytest.fail("the child is still there")
