"""Your own handler on RunPod's SDK, as ``runpod.serverless.start({"handler": handler})`` starts it.

    coldburst emulator --port 8090 --worker command --command 'python handler.py'          # the handler on this machine
    coldburst run own_handler --headless --host http://127.0.0.1:8090/v2/demo              # the rehearsal
    coldburst run own_handler --headless --host https://api.runpod.ai/v2/ENDPOINT_ID       # the endpoint

Write your handler's input, what must be in its output, and where it puts errors. Expressions: docs/reference/causes.md.
"""

from coldburst import ArrivalUser


class OwnHandler(ArrivalUser):
    """What happens when N jobs arrive at once?"""

    schedule = "burst 30"
    max_in_flight = 30
    input = {"input": {"prompt": "hello, number {{seq}}"}}
    expect = "output.result"
    error_at = "auto; output.detail"
