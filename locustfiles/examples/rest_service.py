"""A service of your own with a JSON route, behind a RunPod load balancer or anywhere else.

    coldburst run rest_service --headless --host https://ENDPOINT_ID.api.runpod.ai
    coldburst run rest_service --headless --host http://127.0.0.1:8000

Write the route, the JSON that is sent, and what must be in the answer. Expressions: docs/reference/causes.md. A service that fetches
its files by URL: write {{url}} into ``input``, and add --data FILES --objects s3://BUCKET; each file is uploaded before its request.
"""

from coldburst import ArrivalUser


class RestService(ArrivalUser):
    """Can the service sustain this rate?"""

    target = "balancer"
    path = "/generate"
    schedule = "warm 10s 1/s, steady 60s 3/s poisson"
    max_in_flight = 50
    input = {"prompt": "hello, number {{seq}}", "max_tokens": 64}
    expect = "text"
    unit = "tokens=usage.total_tokens"
