"""A FAKE of nvidia-ml-py's ``pynvml`` with one card, for tests on machines without a GPU: the calls that the video service makes.

Signatures and units as NVML's documentation has them: bytes, and percent from 0 to 100. FAKE_NVML=no-driver: as without a driver.
"""

import os
from typing import NamedTuple


class NVMLError(Exception):
    """As pynvml's."""


class Memory(NamedTuple):
    total: int
    free: int
    used: int


class Utilisation(NamedTuple):
    gpu: int
    memory: int


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
    return Memory(24 << 30, (24 << 30) - 5_000_000_000, 5_000_000_000)


def nvmlDeviceGetUtilizationRates(device):
    return Utilisation(37, 12)
