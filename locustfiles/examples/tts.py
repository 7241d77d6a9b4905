"""Speech from a text-to-speech worker, such as the Chatterbox ones.

    coldburst run tts --headless --host https://api.runpod.ai/v2/ENDPOINT_ID

Workers differ in the names of their fields: compare ``input``, ``expect`` and ``unit`` with your worker's README. The unit audio_s is
seconds of audio made; with --price, the report has USD per hour of audio.
"""

from coldburst import ArrivalUser


class Tts(ArrivalUser):
    """How many seconds of speech per second, and what does an hour cost?"""

    schedule = "burst 20"
    max_in_flight = 20
    input = {"input": {"text": "Welcome aboard. The next departure, number {{seq}}, leaves from platform four."}}
    expect = "output.audio_base64"
    unit = "audio_s=output.duration_s"
