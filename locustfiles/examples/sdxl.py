"""Images from RunPod's SDXL worker (runpod-workers/worker-sdxl).

    coldburst run sdxl --headless --host https://api.runpod.ai/v2/ENDPOINT_ID --price 4090

The worker refuses fields that it does not know, and makes one or two images a job.
"""

from coldburst import ArrivalUser


class Sdxl(ArrivalUser):
    """How many images a minute, and what does one cost?"""

    schedule = "burst 10"
    max_in_flight = 10
    deadline = 600
    input = {
        "input": {"prompt": "a lighthouse at dawn", "height": 1024, "width": 1024, "num_inference_steps": 25, "num_images": 2}
        | {"seed": "{{seq}}"},
    }
    expect = "length(output.images) == 2"
    unit = "images=length(output.images)"
