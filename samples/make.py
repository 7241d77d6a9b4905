"""Make the speech clips of this folder and the list of what is said in them.

    python samples/make.py

Each sentence is spoken by flite's voice "rms" into a WAV file of 16 kHz, mono, 16 bits a sample;
transcripts.csv (columns file, text; UTF-8) holds the texts. The same flite gives the same bytes.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

VOICE = "rms"
SENTENCES = {
    "01-harbour.wav": "The boats come back to the harbour at night.",
    "02-train.wav": "The train to the city was twenty minutes late this morning.",
    "03-garden.wav": "The children were playing in the garden when it began to rain very hard.",
    "04-coffee.wav": "He opened the window because the room was very warm, and then he made a cup of coffee.",
    "05-village.wav": "Most people in the village know each other, and they help when someone needs a new roof or has lost a job.",
    "06-market.wav": "The market opens early on Saturday, and farmers come from all over the country to sell bread, milk and fresh fruit.",
}


def speak(text: str, file: Path) -> None:
    """Write ``text`` as speech into ``file``.

    Raises:
        FileNotFoundError: flite is not installed.
        subprocess.CalledProcessError: flite failed.
    """
    subprocess.run(["flite", "-voice", VOICE, "-t", text, "-o", str(file)], check=True)


def write_transcripts(file: Path) -> None:
    """Write the texts of all clips, one row a clip."""
    with file.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["file", "text"])
        rows.writerows(SENTENCES.items())


def main() -> int:
    """Make every clip and the list; 0 when done, 1 with a sentence on stderr when flite is missing or fails."""
    folder = Path(__file__).parent
    try:
        for name, text in SENTENCES.items():
            speak(text, folder / name)
    except FileNotFoundError:
        print("flite, which speaks the sentences, is not installed: 'apt-get install flite' brings it with its voices", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"flite could not speak: it ended with exit code {error.returncode}", file=sys.stderr)
        return 1
    write_transcripts(folder / "transcripts.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
