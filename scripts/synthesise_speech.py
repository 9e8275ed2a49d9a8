"""Speak sentences with espeak-ng: a training manifest of synthetic voices, or the example clips.

    pip install "scldm[speech]"
    python scripts/synthesise_speech.py training --out data/espeak
    python scripts/synthesise_speech.py examples --out examples

The voices of the examples are not among those of the training set, nor are their sentences.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from scldm.core.artifact import staged
from scldm.core.errors import InputError
from scldm.voice.espeak_library import Library

RATE, SECONDS = 16_000, 6.0
SEED = 1795225534  # of breath: the committed examples' own
VOICES = {
    "F": ("Alicia", "Andrea", "Annie", "anika", "aunty", "belinda",
          "f1", "f3", "f5", "linda", "steph", "steph2"),
    "M": ("Denis", "Diogo", "Henrique", "Hugo", "Marco", "Michael",
          "Miguel", "m1", "m2", "m4", "m6", "m8"),
}
LANGUAGES = ("en-us", "en", "en-gb-scotland", "de", "es", "it")
SENTENCES = (
    "The boat left the harbour before sunrise, and by noon the island was out of sight.",
    "Please remember to water the plants on the balcony while we are away in the mountains.",
    "Every morning the baker opens his shop at five and the whole street smells of bread.",
    "She has counted the stars above the old mill many times and never found the same number.",
    "If the train is late again we could walk along the river and have lunch on the way.",
    "Nobody expected that the smallest team would win the match in the very last minute.",
)
EXAMPLES = {  # name: (voice, gender, language, words a minute, sentence)
    "anna": ("f2", "F", "en-us", 160, "Good evening, and welcome. Tonight we will listen to three "
             "short stories about the sea, and about the people who live beside it."),
    "bruno": ("m3", "M", "en", 155, "The weather tomorrow will be mostly dry, with a light wind "
              "from the west and a few clouds over the hills in the afternoon."),
    "clara": ("f4", "F", "en", 165, "My grandmother kept her recipes in a tin box, each written "
              "on the back of a postcard from a different town."),
    "david": ("m7", "M", "en-us", 150, "To reach the library, cross the square, turn left at the "
              "fountain, and look for the green door at the end of the lane."),
}


class Speaker:
    """espeak-ng's own voices, one clip after the other: what is said before moves the flutter."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise InputError('espeak-ng is missing: pip install "scldm[speech]"') from None
        path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
        self.library = Library(str(path), str(data), SEED)

    def speak(self, text: str, voice: str, rate: int = 165, pitch: int = 50) -> np.ndarray:
        """`text` by `voice` (for example "en-us+f2"): float32 (n,), 16 kHz, peak 0.7."""
        if not self.library.voice(voice):
            raise InputError(f"espeak-ng has no voice '{voice}'")
        heard: list[bytes] = []
        self.library.speak(text, heard.append, rate, pitch=pitch)
        audio = np.frombuffer(b"".join(heard), np.int16).astype(np.float32) / 32768
        audio = resample_poly(audio, RATE, self.library.rate).astype(np.float32)
        return audio / np.abs(audio).max() * 0.7


def training(engine: Speaker, out: Path) -> None:
    """Twelve women's and twelve men's voices, six clips each in six languages, and a manifest."""
    with staged(out) as part:
        (part / "audio").mkdir(parents=True)
        with (part / "manifest.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(("audio", "person", "gender", "split", "source", "licence"))
            for gender, voices in VOICES.items():
                for v, voice in enumerate(voices):
                    for i, language in enumerate(LANGUAGES):
                        text = SENTENCES[(v + i) % len(SENTENCES)]
                        text += " " + SENTENCES[(v + i + 1) % len(SENTENCES)]
                        audio = engine.speak(text, f"{language}+{voice}", 140 + 10 * i, 35 + 6 * i)
                        name = f"audio/{voice}_{i}.flac"
                        soundfile.write(part / name, audio[: int(SECONDS * RATE)], RATE)
                        table.writerow([name, f"espeak_{voice}", gender, "train",
                                        f"espeak-ng {language}+{voice}", "CC0-1.0"])


def examples(engine: Speaker, out: Path) -> None:
    """The clips that the demo speaks with: voices that are not in the training set."""
    out.mkdir(parents=True, exist_ok=True)
    for name, (voice, _, language, rate, text) in EXAMPLES.items():
        audio = engine.speak(text, f"{language}+{voice}", rate)[: int(SECONDS * RATE)]
        with staged(out / f"{name}.flac") as part:
            soundfile.write(part, audio, RATE, format="FLAC", subtype="PCM_16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("training", "examples"))
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    {"training": training, "examples": examples}[args.what](Speaker(), args.out)


if __name__ == "__main__":
    main()
