"""Latent people and what follows from them: one person has a face and a voice.

Coupling: every row is one latent factor; both columns follow from it, and nothing else joins them.

| factor          | face                                         | voice                       |
|-----------------|----------------------------------------------|-----------------------------|
| sex             | jaw, brows, lips, eyes, beard, style of hair | mean f0, tract length       |
| age             | grey hair, wrinkles, hairline                | f0, roughness, breath, rate |
| build           | cheek, jaw and neck width                    | spectral tilt of the source |
| trait 0, tract  | face length, jaw and chin width, mouth       | tract length: all formants  |
| trait 1, pitch  | hair colour (black to fair), brow weight     | mean f0                     |
| trait 2, breath | iris colour, eye size, lip fullness          | breathiness, open quotient  |
| trait 3, tempo  | nose width and length                        | speaking rate               |
| trait 4, melody | brow height and tilt, mouth width            | range of intonation         |
| trait 5, skin   | skin tone                                    | nothing: a control          |

Hair style, clothes, beard, early grey and small offsets of the features are the person's own: they
follow from (seed, index) and say nothing of the voice. All factors are independent of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scldm.core.errors import InputError

TRAITS = ("tract", "pitch", "breath", "tempo", "melody", "skin")
YOUNGEST, OLDEST = 20, 80
_LATENT, _LOOKS = 0, 1

Colour = tuple[float, float, float]

_SKINS = ((0.38, 0.24, 0.17), (0.62, 0.41, 0.28), (0.84, 0.62, 0.47), (0.96, 0.80, 0.70))
_HAIRS = ((0.06, 0.05, 0.06), (0.20, 0.12, 0.08), (0.47, 0.23, 0.10), (0.86, 0.68, 0.36))
_IRISES = ((0.20, 0.11, 0.06), (0.45, 0.28, 0.10), (0.28, 0.46, 0.25), (0.28, 0.53, 0.78))
_CLOTHES = (
    (0.20, 0.30, 0.48), (0.55, 0.18, 0.22), (0.18, 0.42, 0.38), (0.90, 0.88, 0.84),
    (0.16, 0.17, 0.20), (0.76, 0.56, 0.24), (0.42, 0.32, 0.50), (0.52, 0.58, 0.62),
)  # fmt: skip
WOMENS_STYLES = ("long", "fringe", "wavy", "bob", "tied", "curly", "pixie")
MENS_STYLES = ("short", "parted", "crop", "curly", "quiff", "receding", "bald")


@dataclass(frozen=True)
class Person:
    """One latent person. `traits`: one factor in [-1, 1] for each name in `TRAITS`."""

    index: int
    seed: int
    sex: str  # 'F' or 'M'
    age: int  # years, 20 to 80
    build: float  # standard normal, clipped to [-2.5, 2.5]
    traits: tuple[float, ...]

    def trait(self, name: str) -> float:
        """The factor in [-1, 1] called `name` (one of `TRAITS`)."""
        return self.traits[TRAITS.index(name)]


@dataclass(frozen=True)
class Looks:
    """The face of a person at rest; lengths in image widths, v downwards from the centre."""

    chin: float  # v of the tip
    cheek: float  # half width
    jaw: float  # half width
    chin_width: float  # half width
    neck: float  # half width
    eye_gap: float  # half the distance between the eyes
    eye_size: float  # 1 is the mean
    brow_weight: float  # half thickness
    brow_height: float  # v
    brow_tilt: float  # positive: outer ends lower
    nose_width: float  # half width
    nose_tip: float  # v
    mouth: float  # v
    mouth_width: float  # half width
    lips: float  # height of the lower lip
    hairline: float  # v
    style: str
    part: float  # side of the parting, [-1, 1]
    beard: float  # 0 shaved, below 0.6 a shadow, above it a full beard
    wrinkles: float  # 0 to 1
    skin: Colour
    hair: Colour
    brows: Colour
    iris: Colour
    clothes: Colour


@dataclass(frozen=True)
class Voice:
    """The voice of a person, from which every clip is spoken."""

    f0: float  # Hz, geometric mean over voiced speech
    tract: float  # cm, vocal tract length; formants scale with 17.5 / tract
    breath: float  # 0 to 1, aspiration beside the glottal pulses
    open_quotient: float  # part of a period in which the glottis is open
    rate: float  # syllables a second within a phrase
    melody: float  # semitones, standard deviation of the accents
    tilt: float  # 0 to 1, pole of the low-pass that softens the source
    roughness: float  # relative jitter of the periods; shimmer is four times that


def stream(person: Person, *key: int) -> np.random.Generator:
    """The person's own random numbers under `key`; the same whenever and wherever asked."""
    return np.random.default_rng((person.seed, person.index, *key))


def person(seed: int, index: int) -> Person:
    """Person `index` of population `seed`, whatever its size. Even indices are F, odd ones M.

    Raises InputError when seed or index is negative.
    """
    if seed < 0 or index < 0:
        raise InputError(f"population seed {seed}, person {index}: give numbers of 0 or more")
    rng = np.random.default_rng((seed, index, _LATENT))
    age = int(rng.integers(YOUNGEST, OLDEST + 1))
    build = float(np.clip(rng.standard_normal(), -2.5, 2.5))
    traits = tuple(float(t) for t in rng.uniform(-1, 1, len(TRAITS)))
    return Person(index, seed, "FM"[index % 2], age, build, traits)


def voice(person: Person) -> Voice:
    """The voice that follows from the latent factors."""
    woman, decades = person.sex == "F", (person.age - 50) / 30
    if woman:  # voices of women fall with age, those of men rise again late in life
        f0 = 205 * 2 ** (0.22 * person.trait("pitch") - 0.07 * decades)
    else:
        f0 = 115 * 2 ** (0.28 * person.trait("pitch") + 0.06 * (decades**2 - 0.4))
    breath, old = (person.trait("breath") + 1) / 2, max(0.0, decades)
    return Voice(
        f0=f0,
        tract=(14.6 if woman else 17.0) * (1 + 0.07 * person.trait("tract")),
        breath=0.03 + 0.45 * breath**1.5 + 0.05 * old,
        open_quotient=0.50 + 0.25 * breath,
        rate=4.6 * 2 ** (0.32 * person.trait("tempo")) * (1 - 0.14 * decades),
        melody=2.0 + 1.4 * person.trait("melody"),
        tilt=0.35 + 0.12 * person.build,
        roughness=0.003 * 7 ** ((person.age - YOUNGEST) / (OLDEST - YOUNGEST)),
    )


def looks(person: Person) -> Looks:
    """The face that follows from the latent factors and from the person's own offsets."""
    rng = stream(person, _LOOKS)
    own = np.clip(rng.standard_normal(6), -2, 2).tolist()
    styles = WOMENS_STYLES if person.sex == "F" else MENS_STYLES
    style, clothes = styles[rng.integers(len(styles))], _CLOTHES[rng.integers(len(_CLOTHES))]
    part, beard, early = rng.uniform(-1, 1), rng.uniform(0, 1), rng.uniform(-8, 8)
    grey = float(np.clip((person.age + early - 50) / 28, 0, 1))
    hair = _ramp(_HAIRS, person.trait("pitch"))
    old = float(np.clip((person.age - 32) / 46, 0, 1))
    man = float(person.sex == "M")
    return Looks(
        **_shape(person, man, own),
        hairline=-0.385 + 0.012 * own[5] - man * 0.05 * old - 0.01 * man,
        style=style,
        part=part,
        beard=man * float(np.clip((beard - 0.3) / 0.7, 0, 1)),
        wrinkles=old,
        skin=_ramp(_SKINS, person.trait("skin")),
        hair=_mix(hair, (0.80, 0.80, 0.81), 0.95 * grey),
        brows=_mix(_mix(hair, (0.10, 0.07, 0.06), 0.45), (0.62, 0.61, 0.60), 0.7 * grey),
        iris=_ramp(_IRISES, person.trait("breath")),
        clothes=clothes,
    )


def _shape(person: Person, man: float, own: list[float]) -> dict[str, float]:
    """The lengths of `Looks` that have no colour; `own` holds the person's offsets."""
    tract, pitch, breath, tempo, melody = person.traits[:5]
    return {
        "chin": 0.400 + 0.012 * man + 0.036 * tract,
        "cheek": 0.365 + 0.004 * man + 0.014 * person.build,
        "jaw": 0.254 + 0.040 * man + 0.028 * tract + 0.014 * person.build,
        "chin_width": 0.105 + 0.030 * man + 0.020 * tract,
        "neck": 0.200 + 0.050 * man + 0.018 * person.build,
        "eye_gap": 0.183 + 0.005 * own[0],
        "eye_size": 1.07 - 0.12 * man + 0.15 * breath,
        "brow_weight": 0.0125 + 0.0055 * man - 0.0045 * pitch,
        "brow_height": -0.294 + 0.012 * man - 0.016 * melody + 0.003 * own[1],
        "brow_tilt": 0.030 - 0.020 * man - 0.045 * melody,
        "nose_width": (0.064 + 0.010 * man) * (1 + 0.27 * tempo) + 0.002 * own[2],
        "nose_tip": 0.0045 + 0.024 * tempo + 0.003 * own[3],
        "mouth": 0.182 + 0.016 * tract + 0.004 * own[4],
        "mouth_width": 0.146 + 0.018 * melody,
        "lips": (0.043 - 0.009 * man) * (1 + 0.38 * breath),
    }


def _mix(a: Colour, b: Colour, part: float) -> Colour:
    """From a (part 0) to b (part 1)."""
    red, green, blue = (x + part * (y - x) for x, y in zip(a, b, strict=True))
    return red, green, blue


def _ramp(colours: tuple[Colour, ...], factor: float) -> Colour:
    """The colour at `factor` in [-1, 1] along a row of colours."""
    place = (np.clip(factor, -1, 1) + 1) / 2 * (len(colours) - 1)
    below = min(int(place), len(colours) - 2)
    return _mix(colours[below], colours[below + 1], float(place) - below)
