"""Chat with RunPod's vLLM worker (runpod-workers/worker-vllm, also worker-sglang) by its OpenAI route.

    coldburst run vllm_chat --headless --host https://api.runpod.ai/v2/ENDPOINT_ID/openai/v1 --model MODEL

Without --host, a modelled language model on this machine answers. Any other server with OpenAI's interface works too. The report has
the time to the first token, times between tokens, and tokens per second.
"""

from coldburst import ArrivalUser


class VllmChat(ArrivalUser):
    """How long until the first token, and how many tokens a second?"""

    target = "chat"
    schedule = "warm 10s 1/s, steady 60s 2/s poisson"
    max_in_flight = 30
    input = {
        "messages": [{"role": "user", "content": "Explain in three sentences what a cold start is. Request {{seq}}."}],
        "max_tokens": 128,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
