"""What espeak-ng is given to say: texts of bounded length in letters that it reads.

Asked by trying: letters of other scripts are spelt ("Chinese letter") or sound by their names, and
pictures are described ("grinning face"), so neither is what was meant.
"""

from __future__ import annotations

import re
import unicodedata

from scldm.core.errors import InputError

WORDS, CHARACTERS = 1000, 20_000  # of the longest text
_CHUNK = 100  # words that are said at a time
_KINDS = ("L", "M", "Nd", "No", "P", "Z", "Sc", "Sm")  # Unicode's categories that are said
_SCRIPTS = {
    "ru": ("CYRILLIC",), "uk": ("CYRILLIC",), "bg": ("CYRILLIC",), "be": ("CYRILLIC",),
    "el": ("GREEK",), "ar": ("ARABIC",), "fa": ("ARABIC",), "ur": ("ARABIC",),
    "he": ("HEBREW",), "hi": ("DEVANAGARI",), "ne": ("DEVANAGARI",), "mr": ("DEVANAGARI",),
    "cmn": ("CJK",), "yue": ("CJK",), "ko": ("HANGUL",),
    "ja": ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "CJK"),
}  # fmt: skip
_SHOWN = 5  # characters that a message names


def chunks(text: str, language: str) -> list[str]:
    """The text in pieces of whole sentences, a hundred words each where the sentences allow.

    Raises InputError for text without a letter or digit, for more than 1,000 words or 20,000
    characters, and for characters that a voice of the language does not say, which it names.
    """
    text = unicodedata.normalize("NFC", text)
    words = len(text.split())
    if words > WORDS or len(text) > CHARACTERS:
        raise InputError(f"the text has {words:,} words and {len(text):,} characters: give at "
                         f"most {WORDS:,} and {CHARACTERS:,}")  # fmt: skip
    scripts = ("LATIN", "MODIFIER", "FEMININE", "MASCULINE",
               *_SCRIPTS.get(language.lower().split("-")[0], ()))  # fmt: skip
    strange = dict.fromkeys(c for c in text if not (c in "\n\r\t" or _said(c, scripts)))
    if strange:
        names = ", ".join(_name(c) for c in list(strange)[:_SHOWN])
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        raise InputError(f"espeak-ng cannot say {names}{more} in '{language}': leave them out")
    if not any(c.isalnum() for c in text):
        raise InputError("the text is empty: give at least one word")
    return _packed(re.split(r"(?<=[.!?。！？])\s+|\n\s*\n", text.strip()))


def _said(character: str, scripts: tuple[str, ...]) -> bool:
    kind = unicodedata.category(character)
    if not kind.startswith(_KINDS) or kind == "Nd" and not character.isascii():
        return False
    return kind[0] != "L" or unicodedata.name(character, "").split(" ")[0] in scripts


def _name(character: str) -> str:
    shown = f"'{character}' " if character.isprintable() else ""
    return f"{shown}U+{ord(character):04X}"


def _packed(sentences: list[str]) -> list[str]:
    """Sentences put together while they are short enough."""
    packed = [sentences[0]]
    for sentence in sentences[1:]:
        if len((packed[-1] + " " + sentence).split()) <= _CHUNK:
            packed[-1] += " " + sentence
        else:
            packed.append(sentence)
    return packed
