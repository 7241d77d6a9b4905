"""Embeddings from RunPod's infinity worker (runpod-workers/worker-infinity-embedding).

    coldburst run embeddings --headless --host https://api.runpod.ai/v2/ENDPOINT_ID

Write the name of the model in your endpoint's MODEL_NAMES into ``input``. For reranking, send {"query": …, "docs": […]}.
"""

from coldburst import ArrivalUser


class Embeddings(ArrivalUser):
    """How many tokens a second does the endpoint embed?"""

    schedule = "steady 60s 5/s poisson"
    max_in_flight = 100
    input = {"input": {"model": "BAAI/bge-small-en-v1.5", "input": ["What is a cold start? {{seq}}", "The first answer of a new worker."]}}
    expect = "length(output.data) == 2"
    unit = "tokens=output.usage.total_tokens"
