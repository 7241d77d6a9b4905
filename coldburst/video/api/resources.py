"""The resources of the service: CPU and memory of its processes, and memory and utilisation of the GPU through NVML where there is one.

Source: NVML's nvmlDeviceGetMemoryInfo and nvmlDeviceGetUtilizationRates, through nvidia-ml-py.
"""

# ruff: noqa: PLC0415 - nvidia-ml-py is optional

from __future__ import annotations

from typing import Any

import psutil

GB = 1e9


class ResourceMeter:
    """Measures this process and its children; ``gpu`` is the card's name, "" if there is none."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}
        self._nvml, self._device, self.gpu = _first_gpu()
        self._own = psutil.Process()

    def measure(self) -> dict[str, Any]:
        """``cpu`` in cores since the last call, ``rss_bytes``; with a GPU also ``gpu_memory_bytes`` and ``gpu_utilisation`` (a share)."""
        found = {process.pid: process for process in (self._own, *self._own.children(recursive=True))}
        # The same objects as before: the first measurement of a process is 0.
        self._processes = {pid: self._processes.get(pid, process) for pid, process in found.items()}
        cpu, rss_bytes = 0.0, 0
        for process in self._processes.values():
            try:
                cpu += process.cpu_percent() / 100
                rss_bytes += process.memory_info().rss
            except psutil.Error:
                # It has just ended.
                continue
        return {"cpu": round(cpu, 4), "rss_bytes": rss_bytes, **self._of_gpu()}

    def _of_gpu(self) -> dict[str, Any]:
        if self._nvml is None:
            return {}
        try:
            memory = self._nvml.nvmlDeviceGetMemoryInfo(self._device)
            rates = self._nvml.nvmlDeviceGetUtilizationRates(self._device)
        except self._nvml.NVMLError:
            return {}
        return {"gpu_memory_bytes": int(memory.used), "gpu_utilisation": rates.gpu / 100}


def _first_gpu() -> tuple[Any, Any, str]:
    """NVML, the first card and its name; None and "" without a driver or without nvidia-ml-py."""
    try:
        import pynvml
    except ImportError:
        return None, None, ""
    try:
        pynvml.nvmlInit()
        device = pynvml.nvmlDeviceGetHandleByIndex(0)
        name = pynvml.nvmlDeviceGetName(device)
    except pynvml.NVMLError:
        return None, None, ""
    return pynvml, device, name.decode() if isinstance(name, bytes) else str(name)
