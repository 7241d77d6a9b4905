"""A handler as RunPod's vLLM worker is written: a generator that answers openai_route, and streams texts of server-sent events."""

import asyncio
import json

import runpod


def event(content, finish=None):
    delta = {"content": content} if content else {}
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n"


async def handler(job):
    route, body = job["input"].get("openai_route"), job["input"].get("openai_input") or {}
    if route == "/v1/models":
        yield {"object": "list", "data": [{"id": "own", "object": "model", "created": 0, "owned_by": "me"}]}
        return
    words = body["messages"][-1]["content"].split()
    if words[0] == "refuse":
        yield {"object": "error", "message": "no such template", "code": 400}
        return
    if not body.get("stream"):
        if words[0] == "raise":
            raise RuntimeError("CUDA out of memory")
        usage = {"prompt_tokens": len(words), "completion_tokens": len(words), "total_tokens": 2 * len(words)}
        choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
        yield {"id": "own-1", "object": "chat.completion", "created": 0, "model": "own", "choices": [choice], "usage": usage}
        return
    for word in words:
        if word == "raise":
            raise RuntimeError("CUDA out of memory")
        yield event(word)
        await asyncio.sleep(0.01)
    yield event("", "stop") + "data: [DONE]\n\n"


runpod.serverless.start({"handler": handler, "return_aggregate_stream": True, "concurrency_modifier": lambda _: 8})
