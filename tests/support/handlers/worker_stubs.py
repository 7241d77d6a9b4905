"""Stubs of the workers that people run: they take the documented input, refuse others, and answer in the worker's shapes.

    python tests/support/handlers/worker_stubs.py NAME MODE,MODE …     a worker on the real SDK; each job has the next mode

Each was rebuilt from the worker's published schema and README. Modes: good; soft, an error inside an answer; empty, a success with nothing
in it; raise, an exception; slow, no answer.
"""

import asyncio
import itertools
import json
import sys

WORDS = ["A", " cold", " start"]
NUMBERS = (int, float)
WHISPER = {
    **dict.fromkeys(
        ("audio", "audio_base64", "model", "transcription", "translation", "language", "suppress_tokens", "initial_prompt"), str
    ),
    **dict.fromkeys(("temperature", "patience", "length_penalty", "temperature_increment_on_fallback"), NUMBERS),
    **dict.fromkeys(("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"), NUMBERS),
    **dict.fromkeys(("best_of", "beam_size"), int),
    **dict.fromkeys(("translate", "condition_on_previous_text", "enable_vad", "word_timestamps"), bool),
}
SDXL = {
    **dict.fromkeys(("prompt", "negative_prompt", "scheduler", "image_url"), str),
    **dict.fromkeys(("height", "width", "seed", "num_inference_steps", "refiner_inference_steps", "num_images"), int),
    **dict.fromkeys(("guidance_scale", "strength", "high_noise_frac"), NUMBERS),
}
BAD_REQUEST = {"object": "error", "message": "maximum context length is 4096", "type": "BadRequestError", "code": 400}


def of_schema(schema, *needed):
    """A validator as the SDK's: unknown fields and other types are refused."""

    def refusal(given):
        unknown = [name for name in given if name not in schema]
        wrong = [name for name, value in given.items() if name in schema and not isinstance(value, schema[name])]
        if unknown or wrong:
            return f"Unexpected input. {unknown[0]} is not a valid input option." if unknown else f"{wrong[0]} has another type"
        return "" if not needed or any(given.get(name) for name in needed) else f"Must provide {' or '.join(needed)}"

    return refusal


def vllm(given):
    if "openai_route" in given:
        return "" if given["openai_route"].startswith("/v1/") and given["openai_input"].get("messages") else "not a chat"
    if not (given.get("prompt") or given.get("messages")):
        return "no prompt"
    sampling = given.get("sampling_params", {})
    return "" if set(sampling) <= {"max_tokens", "temperature", "top_p", "top_k", "n", "stop", "seed"} else "Unexpected keyword argument"


def comfyui(given):
    workflow = given.get("workflow")
    if not isinstance(workflow, dict) or not workflow:
        return "Missing 'workflow' parameter"
    if not all(isinstance(node, dict) and {"class_type", "inputs"} <= set(node) for node in workflow.values()):
        return "Workflow validation failed"
    links = [value[0] for node in workflow.values() for value in node["inputs"].values() if isinstance(value, list)]
    seeds = [node["inputs"]["seed"] for node in workflow.values() if "seed" in node["inputs"]]
    return "" if set(links) <= set(workflow) and all(isinstance(seed, int) for seed in seeds) else "Workflow validation failed"


def event(content="", finish=None):
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    return f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"


def usage_event(tokens):
    usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    return f"data: {json.dumps({'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"


def embeddings(number):
    data = [{"object": "embedding", "index": index, "embedding": [0.1, -0.2]} for index in range(number)]
    return {"object": "list", "model": "BAAI/bge-small-en-v1.5", "data": data, "usage": {"prompt_tokens": 14, "total_tokens": 14}}


def whisper(text, *segments):
    found = [{"id": number, "start": 0.0, "end": 2.0, "text": segment} for number, segment in enumerate(segments)]
    return {"segments": found, "detected_language": "en", "transcription": text, "translation": None, "device": "cuda", "model": "base"}


def batches(*batches):
    """What a vLLM job yields: tokens, and how many there were so far."""
    sizes = itertools.accumulate(len(tokens) for tokens in batches)
    return [{"choices": [{"tokens": tokens}], "usage": {"input": 9, "output": size}} for tokens, size in zip(batches, sizes, strict=True)]


IMAGE = {"filename": "coldburst_00001_.png", "type": "base64", "data": "iVBORw0KGgo="}
PNG = "data:image/png;base64,iVBORw0KGgo="
# Name of the example -> validator, and the answers by mode. A list is what a generator yields.
STUBS = {
    "vllm_chat": (
        vllm,
        {
            "good": [*map(event, WORDS), event(finish="stop"), usage_event(3)],
            "soft": [BAD_REQUEST],
            "empty": [event(finish="stop"), usage_event(0)],
        },
    ),
    "vllm_job": (vllm, {"good": batches(WORDS[:1], WORDS[1:]), "soft": [BAD_REQUEST], "empty": batches([], [])}),
    "whisper_job": (
        of_schema(WHISPER, "audio", "audio_base64"),
        {
            "good": whisper("the harbour is quiet", "the harbour is quiet"),
            "soft": {"error": "Failed to load audio"},
            "empty": whisper(""),
        },
    ),
    "comfyui": (
        comfyui,
        {
            "good": {"images": [IMAGE]},
            "soft": {"error": "Job processing failed", "details": ["Node 4: out of range"]},
            "empty": {"status": "success_no_images", "images": []},
        },
    ),
    "sdxl": (
        of_schema(SDXL, "prompt"),
        {
            "good": {"images": [PNG, PNG], "image_url": PNG, "seed": 7},
            "soft": {"error": "RuntimeError: CUDA error, Stack Trace: x", "refresh_worker": False},
            "empty": {"images": [], "image_url": None, "seed": 7},
        },
    ),
    "embeddings": (
        lambda given: "" if isinstance(given.get("model"), str) and isinstance(given.get("input"), list) else "Invalid input",
        {"good": embeddings(2), "soft": {**BAD_REQUEST, "message": "model is not served"}, "empty": embeddings(0)},
    ),
    "tts": (
        of_schema({"text": str, "voice": str, "exaggeration": NUMBERS, "cfg_weight": NUMBERS, "seed": int}, "text"),
        {
            "good": {"audio_base64": "UklGRiQA", "format": "wav", "sample_rate": 24000, "duration_s": 2.5, "gen_time_s": 1.1},
            "soft": {"success": False, "message": "voice 'narrator' is not there"},
            "empty": {"audio_base64": "", "format": "wav", "sample_rate": 24000, "duration_s": 0.0, "gen_time_s": 0.1},
        },
    ),
    "own_handler": (
        of_schema({"prompt": str}, "prompt"),
        {"good": [{"result": "hi"}], "soft": {"result": "hi", "detail": "no seed"}, "empty": []},
    ),
}
GENERATORS = ("vllm_chat", "vllm_job")
SLOW_S = 600


def answer(name, mode, given):
    """What the worker returns; RuntimeError where it raises, and ValueError for an input that it refuses."""
    refusal, answers = STUBS[name]
    if sentence := refusal(given):
        raise ValueError(sentence)
    if mode == "raise":
        raise RuntimeError("engine died")
    return answers[mode]


def main(name, modes):
    import runpod

    turns = itertools.cycle(modes.split(","))

    async def handler(job):
        mode = next(turns)
        if mode == "slow":
            await asyncio.sleep(SLOW_S)
        return answer(name, mode, job["input"])

    async def generator(job):
        for part in await handler(job):
            yield part

    runpod.serverless.start({"handler": generator if name in GENERATORS else handler, "return_aggregate_stream": True})


if __name__ == "__main__":
    main(*sys.argv[1:])
