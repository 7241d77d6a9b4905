"""espeak-ng through ctypes: the library and its voices come with the wheel espeakng-loader.

Source: espeak-ng's speak_lib.h (espeak_Initialize, espeak_SetSynthCallback, espeak_Synth).
"""

from __future__ import annotations

import ctypes
import wave
from collections.abc import Callable
from pathlib import Path

import espeakng_loader

_SYNCHRONOUS, _UTF8, _FROM_CHARACTER, _OK = 2, 1, 1, 0
# Milliseconds of sound in each call back: how soon a job that was given up stops.
_BUFFER_MS = 100
_Samples = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Voice:
    """The library with its American English voice. It keeps its state in global variables: one text at a time."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        # The directory that holds espeak-ng-data.
        folder = str(Path(espeakng_loader.get_data_path()).parent).encode()
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, folder, 0)
        if self._rate <= 0:
            raise RuntimeError("espeak-ng could not load its voices: install espeakng-loader again")
        self._library.espeak_SetVoiceByName(b"en-us")

    def speak(self, text: str, file: Path, check: Callable[[], None]) -> float:
        """Writes ``text`` as a WAV file (16 bit, mono); its length in seconds. Raises what ``check`` raises."""
        sound, stop = bytearray(), list[Exception]()

        def take(samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
            try:
                check()
            except Exception as error:
                stop.append(error)
                return 1
            if samples and count > 0:
                sound.extend(ctypes.string_at(samples, 2 * count))
            return 0

        taking = _Samples(take)
        self._library.espeak_SetSynthCallback(taking)
        content = text.encode() + b"\0"
        said = self._library.espeak_Synth(content, ctypes.c_size_t(len(content)), 0, _FROM_CHARACTER, 0, _UTF8, None, None)
        if stop:
            raise stop[0]
        if said != _OK or not sound:
            raise RuntimeError("espeak-ng found nothing to speak in the script: send words")
        with wave.open(str(file), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(self._rate)
            out.writeframes(bytes(sound))
        return len(sound) / 2 / int(self._rate)
