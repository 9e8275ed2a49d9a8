"""The bundled synthetic population: people of whom both a face and a voice follow.

The coupling between the two is known (the table in `people`), so identity can be learnt, measured
and switched off without a network and without a real person.
"""

from scldm.data.population.faces import draw_face, landmarks
from scldm.data.population.files import write_population
from scldm.data.population.people import TRAITS, Looks, Person, Voice, looks, person, voice
from scldm.data.population.voices import speak

__all__ = [
    "TRAITS",
    "Looks",
    "Person",
    "Voice",
    "draw_face",
    "landmarks",
    "looks",
    "person",
    "speak",
    "voice",
    "write_population",
]
