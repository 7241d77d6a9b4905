"""A REST service that takes its input from a bucket and leaves its result there: up, request, down.

    export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_DEFAULT_REGION=…     # and AWS_ENDPOINT_URL_S3, unless it is Amazon's S3
    coldburst run rest_through_s3 --headless --host https://ENDPOINT_ID.api.runpod.ai --objects s3://my-bucket/load-tests

Write the route, the JSON with {{url}}, or {{bucket}} and {{key}}, and where the answer names the result (docs/guides/objects.md).
"""

from coldburst import ArrivalUser


class RestThroughS3(ArrivalUser):
    """How long do 30 requests at once take, and how much of it is the bucket's time?"""

    target = "balancer"
    path = "/generate"
    schedule = "burst 30"
    max_in_flight = 15
    objects = "s3://my-bucket/load-tests"
    input = {"bucket": "{{bucket}}", "input_key": "{{key}}"}
    download = "result_key"
