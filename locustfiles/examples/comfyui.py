"""Images from RunPod's ComfyUI worker (runpod-workers/worker-comfyui).

    coldburst run comfyui --headless --host https://api.runpod.ai/v2/ENDPOINT_ID --price 4090

Put your own workflow, exported in ComfyUI as API format, in place of this one, which makes an image from a text. {{seq}} makes each
request's seed another one: ComfyUI answers a workflow that it has just run from its cache.
"""

from coldburst import ArrivalUser

WORKFLOW = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "flux1-dev-fp8.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse at dawn", "clip": ["1", 1]}},
    "3": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1}},
    "4": {
        "class_type": "KSampler",
        "inputs": {"seed": "{{seq}}", "steps": 20, "cfg": 1, "sampler_name": "euler", "scheduler": "simple", "denoise": 1}
        | {"model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0]},
    },
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"filename_prefix": "coldburst", "images": ["5", 0]}},
}


class ComfyUI(ArrivalUser):
    """How many images a minute, and what does one cost?"""

    schedule = "burst 10"
    max_in_flight = 10
    deadline = 600
    input = {"input": {"workflow": WORKFLOW}}
    expect = "auto; length(output.images) >= 1"
    unit = "images=length(output.images)"
