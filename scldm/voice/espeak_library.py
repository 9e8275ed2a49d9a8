"""espeak-ng through ctypes, and the child process that speaks with a library of its own.

The library keeps state from one text to the next (the phase of its flutter, its noise), may be
initialised once, and is C that reads whatever text it is given. So `espeak` starts this file as a
script for every text: the same text gives the same bits, and no text harms the caller. It needs
nothing but Python's own library.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from collections.abc import Callable

_SYNCHRONOUS, _DO_NOT_EXIT = 2, 0x8000  # espeak_AUDIO_OUTPUT, espeakINITIALIZE_DONT_EXIT
_UTF8, _END_PAUSE = 1, 0x1000  # espeakCHARS_UTF8, espeakENDPAUSE
_CHARACTERS = 1  # POS_CHARACTER
_RATE, _VOLUME, _PITCH = 1, 2, 3  # espeak_PARAMETER

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class Library:
    """libespeak-ng at a path, with its data; once a process.

    Attributes:
        rate: of its samples, Hz.
    """

    def __init__(self, library: str, data: str, seed: int) -> None:
        """`seed` starts the noise of breathy voices. Raises OSError when it does not start."""
        self._lib = ctypes.CDLL(library)
        self.rate = self._lib.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT)
        if self.rate <= 0:
            raise OSError(f"{data}: espeak-ng does not find its data here")
        self._lib.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self._hear: Callable[[bytes], object] = bytes
        self._callback = _Callback(self._heard)
        self._lib.espeak_SetSynthCallback(self._callback)

    def _heard(self, samples: object, count: int, events: object) -> int:
        if samples and count > 0:
            self._hear(ctypes.string_at(samples, 2 * count))  # type: ignore[arg-type]
        return 0

    def voice(self, name: str) -> bool:
        """Take one of the library's voices, for example "en-us+f2"; whether there is one."""
        return self._lib.espeak_SetVoiceByName(name.encode()) == 0

    def voice_file(self, path: str) -> bool:
        """Take a voice of one's own: a path in lower case of at most 59 characters."""
        return self._lib.espeak_ng_SetVoiceByFile(path.encode()) == 0

    def speak(
        self, text: str, hear: Callable[[bytes], object], words_a_minute: int,
        *, pitch: int = 50, volume: int = 100, end_pause: bool = False,
    ) -> None:  # fmt: skip
        """Say `text`; `hear` is called with samples, 16 bits each."""
        for parameter, value in ((_RATE, words_a_minute), (_VOLUME, volume), (_PITCH, pitch)):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._hear, data = hear, text.encode()
        flags = _UTF8 | (_END_PAUSE if end_pause else 0)
        self._lib.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, flags, None, None)


def main() -> None:
    """Say the request on standard input: the rate (int32) and then the samples (int16) go out."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no sound
    request = json.load(sys.stdin)
    library = Library(request["library"], request["data"], request["seed"])
    if not library.voice_file(request["voice"]):
        raise OSError(f"{request['voice']}: espeak-ng does not take this voice")
    out.write(struct.pack("=i", library.rate))
    *first, last = request["texts"]
    for text in first:
        library.speak(text, out.write, request["words_a_minute"], volume=request["volume"],
                      end_pause=True)  # fmt: skip
    library.speak(last, out.write, request["words_a_minute"], volume=request["volume"])
    out.flush()


if __name__ == "__main__":
    main()
