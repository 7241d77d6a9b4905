"""A FAKE of nvidia-ml-py's ``pynvml`` with one card, for tests on machines without a GPU: the calls that the video service makes.

Signatures and units as NVML's documentation has them: bytes, and percent from 0 to 100. FAKE_NVML=no-driver: as without a driver.
"""

import os
from types import SimpleNamespace


class NVMLError(Exception):
    """As pynvml's."""


def nvmlInit():
    if os.environ.get("FAKE_NVML") == "no-driver":
        raise NVMLError("NVML Shared Library Not Found")


def nvmlDeviceGetHandleByIndex(index):
    assert index == 0
    return "card 0"


def nvmlDeviceGetName(device):
    assert device == "card 0"
    return b"Fake RTX 4090"


def nvmlDeviceGetMemoryInfo(device):
    if os.environ.get("FAKE_NVML") == "card-lost":
        raise NVMLError("GPU is lost")
    return SimpleNamespace(total=24 << 30, used=5_000_000_000, free=(24 << 30) - 5_000_000_000)


def nvmlDeviceGetUtilizationRates(device):
    return SimpleNamespace(gpu=37, memory=12)
