"""The frame buffer of a video model, and what happens when two jobs use it."""

from __future__ import annotations


class MixedError(Exception):
    """Another job used the same model at the same time."""


class Buffer:
    """The frame buffer of a video model, which belongs to one job at a time; without locks, a second job takes it over."""

    def __init__(self) -> None:
        self._job_id = ""

    def begin(self, job_id: str) -> None:
        """From now on the frames are of this job."""
        self._job_id = job_id

    def end(self, job_id: str) -> None:
        """MixedError if another job has begun meanwhile."""
        if self._job_id != job_id:
            raise MixedError("race: another job used the same video model at the same time, and the frames of both are mixed")
