"""Laws of the synthetic population: identity holds on both sides and the coupling is known."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from scipy import signal

from scldm.core.errors import InputError
from scldm.data.population import (
    TRAITS,
    Person,
    draw_face,
    landmarks,
    looks,
    person,
    speak,
    voice,
    write_population,
)

FAIRFACE_LAYOUT = np.array(((70, 68), (152, 67), (111, 113), (76, 151), (148, 150)))


def with_trait(somebody: Person, name: str, factor: float) -> Person:
    traits = list(somebody.traits)
    traits[TRAITS.index(name)] = factor
    return replace(somebody, traits=tuple(traits))


def measured_f0(clip: np.ndarray) -> float:
    """Geometric mean over voiced frames of the highest peak of the autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(clip, 800)[::320]
    frames = frames[frames.std(1) > 0.1 * frames.std(1).max()]
    spectrum = np.fft.rfft(frames - frames.mean(1, keepdims=True), 2048)
    products = np.fft.irfft(np.abs(spectrum) ** 2)  # falls with the lag: no octave too low
    peaks = products[:, 47:247].max(1) / products[:, 0]  # 65 to 340 Hz
    lags = products[:, 47:247].argmax(1)[peaks > 0.5] + 47
    return float(np.exp(np.log(16_000 / lags).mean()))


def envelope(clip: np.ndarray, octaves: np.ndarray) -> np.ndarray:
    """Smoothed long-term level in dB at log2 frequencies (any shape)."""
    hertz, power = signal.welch(clip, 16_000, nperseg=512)
    smooth = np.convolve(10 * np.log10(power), np.hanning(9) / np.hanning(9).sum(), "same")
    return np.interp(octaves, np.log2(hertz[1:]), smooth[1:])


def small(somebody: Person, photo: int) -> np.ndarray:
    """The inner face, coarse: what a glance sees."""
    inner = draw_face(somebody, photo, 64)[8:60, 8:56].astype(float)
    return inner.reshape(13, 4, 12, 4, 3).mean((1, 3))


def test_person_depends_on_seed_and_index_alone():
    forwards = [person(3, k) for k in range(20)]
    assert [person(3, k) for k in reversed(range(20))] == forwards[::-1]
    others = [person(4, k) for k in range(20)]
    assert len({p.traits for p in forwards + others}) == 40


def test_sexes_alternate_and_factors_fill_their_ranges():
    people = [person(0, k) for k in range(1000)]
    assert [p.sex for p in people] == ["F", "M"] * 500
    assert {p.age for p in people} == set(range(20, 81))
    traits = np.array([p.traits for p in people])
    assert traits.shape == (1000, len(TRAITS)) and np.abs(traits).max() <= 1
    assert np.abs(np.corrcoef(traits.T) - np.eye(len(TRAITS))).max() < 0.12
    assert abs(np.std([p.build for p in people]) - 1) < 0.1


def test_f0_ranges_of_the_sexes():
    f0 = np.array([voice(person(0, k)).f0 for k in range(1000)])
    assert f0[::2].min() > 160 and f0[::2].max() < 260
    assert f0[1::2].min() > 85 and f0[1::2].max() < 155


def test_faces_and_clips_are_deterministic():
    assert np.array_equal(draw_face(person(1, 5), 2, 48), draw_face(person(1, 5), 2, 48))
    assert np.array_equal(landmarks(person(1, 5), 2, 48), landmarks(person(1, 5), 2, 48))
    assert np.array_equal(speak(person(1, 5), 2, 1.0), speak(person(1, 5), 2, 1.0))


@pytest.mark.parametrize("size", [16, 17, 63, 64, 200])
def test_face_has_the_asked_size(size):
    face = draw_face(person(0, 1), 0, size)
    assert face.shape == (size, size, 3) and face.dtype == np.uint8 and face.std() > 20


@pytest.mark.parametrize(("large", "size"), [(256, 64), (128, 32), (512, 128), (64, 16)])
def test_same_picture_at_two_sizes(large, size):
    step = large // size
    for index in range(6):
        fine = draw_face(person(0, index), index, large).astype(float)
        fine = fine.reshape(size, step, size, step, 3).mean((1, 3))
        assert np.abs(fine - draw_face(person(0, index), index, size)).mean() < 1.5


def test_eye_landmarks_lie_on_dark_pupils():
    for index in range(40):
        face = draw_face(person(0, index), 1, 224).mean(2)
        for x, y in landmarks(person(0, index), 1, 224)[:2]:
            near = face[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4]
            assert (near < 40).mean() > 0.15


def test_mouth_landmarks_enclose_the_reddest_part():
    pale = [p for p in (person(0, k) for k in range(0, 120, 2)) if p.trait("skin") > 0.3]
    for somebody in pale:
        face = draw_face(somebody, 0, 224).astype(float)
        points = landmarks(somebody, 0, 224)
        red = face[..., 0] - face[..., 1]
        x, y = points[3:].mean(0).astype(int)
        lips, cheek = red[y : y + 20, x - 15 : x + 15].max(), red[y - 12 : y + 12, x - 65 : x - 50]
        assert lips > np.median(cheek) + 20


def test_landmarks_scale_with_the_picture_and_lie_like_fairface_crops():
    points = np.array([landmarks(person(0, k), j, 224) for k in range(200) for j in range(2)])
    assert np.abs(points.mean(0) - FAIRFACE_LAYOUT).max() < 3
    assert np.allclose(landmarks(person(0, 7), 1, 64) * 3.5, landmarks(person(0, 7), 1, 224))
    assert (points[:, 0, 0] < points[:, 1, 0]).all() and (points[:, 3, 0] < points[:, 4, 0]).all()


def test_photos_of_one_person_differ_but_less_than_people_do():
    women = [[small(person(0, k), photo) for photo in range(3)] for k in range(0, 48, 2)]
    faces = np.array(women).reshape(len(women), 3, -1)
    gaps = np.sqrt(((faces[:, None, :, None] - faces[None, :, None]) ** 2).mean(-1))
    within = np.mean([gaps[k, k][np.triu_indices(3, 1)].mean() for k in range(len(women))])
    between = np.mean([gaps[k, j].mean() for k in range(len(women)) for j in range(k)])
    assert 4 < within < 0.6 * between


@pytest.mark.parametrize("seconds", [0.5, 2.0, 6.0])
def test_clip_is_16_khz_float_within_one(seconds):
    clip = speak(person(0, 4), 0, seconds)
    assert clip.shape == (round(16_000 * seconds),) and clip.dtype == np.float32
    assert 0.29 < np.abs(clip).max() <= 1


def test_clips_of_one_person_differ_in_text_and_level():
    clips = [speak(person(0, 3), k) for k in range(4)]
    assert np.abs(np.corrcoef(clips) - np.eye(4)).max() < 0.1
    assert np.ptp([np.abs(c).max() for c in clips]) > 0.05


def test_speech_has_pauses():
    for index in range(4):
        level = speak(person(0, index), 0).reshape(-1, 320).std(1)
        assert 0.05 < (level < 0.03 * level.max()).mean() < 0.5


@pytest.mark.parametrize("sex", [0, 1])
def test_measured_f0_follows_the_person(sex):
    people = [person(0, 2 * k + sex) for k in range(20)]
    heard = np.log([measured_f0(speak(p, 0, 4.0)) for p in people])
    known = np.log([voice(p).f0 for p in people])
    assert np.corrcoef(heard, known)[0, 1] > 0.97
    assert np.abs(heard - known).mean() < 0.03


def test_formants_scale_with_the_tract():
    octaves, shifts = np.linspace(np.log2(900), np.log2(4500), 200), np.arange(0.0, 0.41, 0.02)
    found = []
    for index in (1, 3, 5, 7):
        long, short = (with_trait(person(0, index), "tract", t) for t in (1.0, -1.0))
        low, high = speak(long, 0), speak(short, 0)
        shifted = envelope(high, octaves + shifts[:, None])
        match = np.corrcoef(envelope(low, octaves), shifted)[0, 1:]
        found.append(shifts[match.argmax()])
    assert voice(long).tract / voice(short).tract == pytest.approx(1.07 / 0.93)
    assert np.median(found) == pytest.approx(np.log2(1.07 / 0.93), abs=0.03)
    assert looks(long).chin > looks(short).chin and looks(long).jaw > looks(short).jaw


@pytest.mark.parametrize("name", TRAITS)
def test_every_factor_but_skin_drives_face_and_voice(name):
    low, high = (with_trait(person(0, 6), name, t) for t in (-0.9, 0.9))
    assert np.abs(draw_face(low, 0, 64).astype(float) - draw_face(high, 0, 64)).mean() > 0.4
    assert np.array_equal(speak(low, 0, 1.0), speak(high, 0, 1.0)) == (name == "skin")


def read(manifest: Path) -> list[dict[str, str]]:
    with open(manifest, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("population") / "out"
    return write_population(folder, 10, seed=2, photos=2, clips=1, size=32, splits=(0.6, 0.2, 0.2))


def test_manifest_names_files_that_agree_with_the_population(written):
    rows = read(written)
    assert written.name == "manifest.csv" and len(rows) == 20
    for number, row in enumerate(rows):
        somebody, k = person(2, number // 2), number % 2
        assert (row["person"], row["gender"]) == (f"s2_{number // 2:06d}", somebody.sex)
        assert row["age_lo"] == row["age_hi"] == str(somebody.age)
        assert (row["crop"], row["licence"]) == ("ready", "Apache-2.0")
        assert row["source"] == "SCLDM synthetic population"
        assert [float(row[f"trait_{n}"]) for n in range(len(TRAITS))] == pytest.approx(
            somebody.traits, abs=1e-6
        )
        face = np.asarray(Image.open(written.parent / row["face"]))
        assert np.array_equal(face, draw_face(somebody, k, 32))
        marks = landmarks(somebody, k, 32)
        assert float(row["nose_x"]) == pytest.approx(marks[2, 0], abs=0.01)
        assert float(row["right_mouth_y"]) == pytest.approx(marks[4, 1], abs=0.01)
        assert bool(row["audio"]) == (k == 0)
        if row["audio"]:
            clip, rate = soundfile.read(written.parent / row["audio"], dtype="float32")
            assert rate == 16_000 and np.abs(clip - speak(somebody, k)).max() < 1e-4


def test_splits_are_disjoint_by_person_and_balanced(written):
    splits = {name: {r["person"] for r in read(written) if r["split"] == name}
              for name in ("train", "val", "test")}  # fmt: skip
    assert [len(people) for people in splits.values()] == [6, 2, 2]
    assert len(set.union(*splits.values())) == 10
    women = {r["person"] for r in read(written) if r["gender"] == "F"}
    assert [len(people & women) for people in splits.values()] == [3, 1, 1]


def test_written_twice_is_the_same_bytes(written, tmp_path):
    again = write_population(
        tmp_path / "again", 10, seed=2, photos=2, clips=1, size=32, splits=(0.6, 0.2, 0.2)
    )
    names = sorted(p.relative_to(written.parent) for p in written.parent.rglob("*.*"))
    assert names == sorted(p.relative_to(again.parent) for p in again.parent.rglob("*.*"))
    assert len(names) == 31
    for name in names:
        assert (written.parent / name).read_bytes() == (again.parent / name).read_bytes()


def test_progress_counts_people_and_an_empty_folder_is_filled(tmp_path):
    seen: list[tuple[int, int]] = []
    write_population(tmp_path, 2, photos=1, clips=1, size=16, progress=lambda *n: seen.append(n))
    assert seen == [(1, 2), (2, 2)] and len(read(tmp_path / "manifest.csv")) == 2


def test_an_interrupted_writing_leaves_nothing(tmp_path):
    def stop(done: int, people: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_population(tmp_path / "out", 2, photos=1, clips=1, size=16, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"people": 1}, "at least 2 people"),
        ({"photos": 0}, "at least one photo"),
        ({"size": 8}, "16 to 1024"),
        ({"splits": (0.5, 0.2, 0.2)}, "sum to 1"),
        ({"seed": -1}, "seed"),
    ],
)
def test_unfit_arguments_are_named(tmp_path, wrong, word):
    with pytest.raises(InputError, match=word):
        write_population(tmp_path / "out", **{"people": 2, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_a_used_folder_and_an_unwritable_parent_are_refused(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        write_population(tmp_path, 2)
    with pytest.raises(InputError, match=r"note\.txt.* cannot be written"):
        write_population(tmp_path / "note.txt" / "out", 2)
    assert (tmp_path / "note.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "call",
    [
        lambda: person(-1, 0),
        lambda: draw_face(person(0, 0), 0, 8),
        lambda: landmarks(person(0, 0), -1, 64),
        lambda: speak(person(0, 0), 0, 0.0),
    ],
)
def test_arguments_out_of_range_are_refused(call):
    with pytest.raises(InputError, match="give"):
        call()
