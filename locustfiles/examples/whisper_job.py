"""Transcripts from RunPod's faster-whisper worker (runpod-workers/worker-faster_whisper).

    coldburst run whisper_job --headless --host https://api.runpod.ai/v2/ENDPOINT_ID --clips RECORDINGS

RECORDINGS is a directory of sound files; texts in its transcripts.csv add the word error rate. The worker refuses fields that it does
not know. WhisperX workers take a URL instead: {"audio_file": "https://…"}.
"""

from coldburst import ArrivalUser


class WhisperJob(ArrivalUser):
    """How many seconds of audio does the endpoint transcribe per second?"""

    schedule = "burst 30"
    max_in_flight = 15
    input = {"input": {"audio_base64": "{{audio_base64}}", "model": "base", "transcription": "plain_text"}}
    expect = "output.segments; output.transcription"
