"""Text from RunPod's vLLM worker (runpod-workers/worker-vllm, also worker-sglang) by queue jobs.

    coldburst run vllm_job --headless --host https://api.runpod.ai/v2/ENDPOINT_ID

The answer is a list of batches with the tokens so far in ``usage``; --price 4090 adds USD per million tokens.
"""

from coldburst import ArrivalUser


class VllmJob(ArrivalUser):
    """How many tokens a second do jobs get?"""

    schedule = "burst 30"
    max_in_flight = 30
    input = {
        "input": {
            "messages": [{"role": "user", "content": "Explain in three sentences what a cold start is. Request {{seq}}."}],
            "sampling_params": {"max_tokens": 128, "temperature": 0.7},
        }
    }
    expect = "auto; output[].choices[].tokens[]"
    unit = "tokens=output[-1].usage.output"
