"""How well voices are made and measured: words understood, parameters met, seconds, people known.

    pip install "scldm[speech,evaluation]"
    python scripts/measure_voice_synthesis.py --out docs/results/voice

Writes synthesis.json and synthesis.md: word error rates of espeak-ng's plain voice and of voices
moved to people's parameters, by one recogniser; wanted against measured parameters; the time of a
sentence of ten words; and how close `measure` comes to the synthetic population's own parameters.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np
from scipy.signal import resample_poly

from scldm.core.artifact import write_json, write_text
from scldm.core.run import device_name
from scldm.data.population import person, speak, voice
from scldm.data.population.voices import REFERENCE_TRACT
from scldm.evaluation.hearing import word_errors
from scldm.voice.acoustics import VoiceParameters, measure
from scldm.voice.espeak import Espeak
from scldm.voice.espeak_library import Library
from scldm.voice.protocols import RATE

NAMES = tuple(field.name for field in fields(VoiceParameters))
VOICES = {
    "average man": VoiceParameters(115, 1.03, 0.15, 4.6),
    "young man": VoiceParameters(125, 1.05, 0.10, 5.2),
    "old man": VoiceParameters(100, 0.98, 0.30, 4.0),
    "average woman": VoiceParameters(205, 1.18, 0.20, 4.6),
    "young woman": VoiceParameters(225, 1.22, 0.15, 5.2),
    "old woman": VoiceParameters(180, 1.13, 0.35, 4.0),
    "breathy woman": VoiceParameters(205, 1.18, 0.50, 4.6),
}
SCALES = (0.85, 0.95, 1.05, 1.15, 1.25, 1.35)
TEN_WORDS = "We walked along the river until the rain had stopped."
SENTENCES = (
    "The old man sat by the window and read the morning paper.",
    "She bought a new pair of shoes for her sister's wedding.",
    "They will build a small house near the lake next summer.",
    "He could not find his keys, so he walked home in the rain.",
    "The children played in the garden until it was dark.",
    "Please close the door when you leave the room tonight.",
    "My father works in a large hospital in the middle of the city.",
    "We had fish and potatoes for dinner on Friday evening.",
    "The train to the north leaves at seven in the morning.",
    "I would like a cup of tea with a little milk and sugar.",
    "The teacher asked the students to open their books.",
    "There was snow on the mountains and ice on the road.",
    "The doctor told him to drink more water every day.",
    "A black cat was sleeping on the wall in the warm sun.",
    "You should call your mother before you go to bed.",
    "The company sold more cars this year than last year.",
    "It is hard to hear what people say in a crowded room.",
    "The farmer has two horses and many sheep in the field.",
    "Her brother plays the piano and sings in the church.",
    "The shop on the corner sells fresh bread and cheese.",
    "We waited for an hour, but the bus never came.",
    "The river was so high that nobody could cross the bridge.",
    "Every child in the village knows the name of that song.",
    "He wrote a long letter to his friend in another country.",
)


def plain(sentences: tuple[str, ...]) -> list[np.ndarray]:
    """The library's own voice, untouched."""
    library = Library(espeakng_loader.get_library_path(), espeakng_loader.get_data_path(), 0)
    library.voice("en-us")
    clips = []
    for sentence in sentences:
        heard: list[bytes] = []
        library.speak(sentence, heard.append, 165, volume=50)
        sound = np.frombuffer(b"".join(heard), np.int16).astype(np.float32)
        sound = resample_poly(sound, RATE, library.rate)
        clips.append((sound * 0.7 / np.abs(sound).max()).astype(np.float32))
    return clips


def misheard(clips: list[np.ndarray], sentences: tuple[str, ...]) -> float:
    """The share of words that the recogniser gets wrong, mean over sentences."""
    return statistics.mean(map(word_errors, clips, sentences))


def differences(wanted: VoiceParameters, clips: list[np.ndarray]) -> dict[str, list[float]]:
    """Measured against wanted for each clip: a relative error, for breath the difference."""
    rows = [astuple(measure(clip)) for clip in clips]
    return {name: [row[k] - goal if name == "breath" else row[k] / goal - 1 for row in rows]
            for k, (name, goal) in enumerate(zip(NAMES, astuple(wanted), strict=True))}  # fmt: skip


def slope(engine: Espeak, f0: float) -> float:
    """How much the measured formants rise for one of the wanted."""
    made = [measure(engine.say(TEN_WORDS, VoiceParameters(f0, s, 0.2, 4.6))) for s in SCALES]
    return float(np.polyfit(SCALES, [m.formants for m in made], 1)[0])


def seconds(engine: Espeak) -> float:
    """Median of ten: a sentence of ten words."""
    took = []
    for _ in range(10):
        began = time.perf_counter()
        engine.say(TEN_WORDS, VOICES["average woman"])
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def people(count: int) -> dict[str, dict[str, float]]:
    """`measure` of one clip of each of the population's people, against their own parameters."""
    voices = [voice(person(0, k)) for k in range(count)]
    wanted = np.array([(v.f0, REFERENCE_TRACT / v.tract, v.breath, v.rate) for v in voices])
    found = np.array([astuple(measure(speak(person(0, k), 0))) for k in range(count)])
    error = found - wanted
    error[:, [0, 1, 3]] /= wanted[:, [0, 1, 3]]
    return {
        name: {
            "correlation": float(np.corrcoef(found[:, k], wanted[:, k])[0, 1]),
            "mean error": float(error[:, k].mean()),
            "rms error": float(np.sqrt((error[:, k] ** 2).mean())),
            "largest error": float(np.abs(error[:, k]).max()),
        }
        for k, name in enumerate(NAMES)
    }


def table(result: dict[str, Any]) -> str:
    lines = ["| voice | word error rate | by the plain voice's | " + " | ".join(NAMES) + " |",
             "|---|---:|---:|" + "---:|" * len(NAMES)]  # fmt: skip
    base = result["plain"]
    lines.append(f"| espeak-ng's plain voice | {base:.3f} | 1.00 | | | | |")
    for name, row in result["voices"].items():
        errors = " | ".join(f"{row[k]['mean']:+.3f} ({row[k]['largest']:.3f})" for k in NAMES)
        lines.append(f"| {name} | {row['wer']:.3f} | {row['wer'] / base:.2f} | {errors} |")
    lines += [
        "", f"{len(SENTENCES)} sentences. The last columns: measured against wanted, mean and "
        "(largest) error, relative but for breath.", "",
        f"The voices together: {result['together']:.3f}, {result['together'] / base:.2f} times the "
        "plain voice's. Formants measured for one of those wanted: "
        + ", ".join(f"{s:.2f} at {f0} Hz" for f0, s in result["slopes"].items())
        + f". Seconds for ten words: {result['seconds']:.2f}.",
        "", "| `measure`, 40 people of the population | " + " | ".join(NAMES) + " |",
        "|---|" + "---:|" * len(NAMES),
    ]  # fmt: skip
    for what in ("correlation", "mean error", "rms error", "largest error"):
        lines.append(f"| {what} | "
                     + " | ".join(f"{result['people'][k][what]:.3f}" for k in NAMES) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    engine = Espeak()
    result: dict[str, Any] = {"machine": device_name(), "people": people(40),
                              "plain": misheard(plain(SENTENCES), SENTENCES), "voices": {}}
    for name, wanted in VOICES.items():
        clips = [engine.say(sentence, wanted) for sentence in SENTENCES]
        row: dict[str, Any] = {"wer": misheard(clips, SENTENCES)}
        for key, errors in differences(wanted, clips).items():
            row[key] = {"mean": float(np.mean(errors)), "largest": float(np.abs(errors).max())}
        result["voices"][name] = row
        print(name, row, flush=True)
    result["together"] = statistics.mean(row["wer"] for row in result["voices"].values())
    result["slopes"] = {f0: slope(engine, f0) for f0 in (100, 140, 200, 260)}
    result["seconds"] = seconds(engine)
    note = f"\n`python scripts/measure_voice_synthesis.py`, {result['machine']}.\n"
    write_json(args.out / "synthesis.json", result)
    write_text(args.out / "synthesis.md", table(result) + note)
    print(table(result))


if __name__ == "__main__":
    main()
