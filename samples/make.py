"""Make the speech clips of this folder, the list of what is said in them, and a trace of arrivals.

    python samples/make.py

Each sentence is spoken by flite's voice "rms" into a WAV file of 16 kHz, mono, 16 bits a sample;
transcripts.csv (columns file, text; UTF-8) holds the texts. The same flite gives the same bytes.
arrivals.csv is a made-up trace for locustfiles/replay.py.
"""

from __future__ import annotations

import csv
import random
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


def arrivals() -> list[float]:
    """Instants of a made-up quarter of a minute, in seconds from the first: ordinary traffic with a rush in it."""
    draw, at_s, found = random.Random(7), 0.0, []
    while at_s < 15:
        at_s += draw.expovariate(6 if 6 < at_s < 8 else 1.2)
        found.append(at_s)
    return [at_s - found[0] for at_s in found]


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
    (folder / "arrivals.csv").write_text("".join(["timestamp\n", *(f"{at_s:.3f}\n" for at_s in arrivals())]), encoding="utf-8")
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
