"""An event loop in virtual time: timers fire at once, in their order, and nobody waits."""

import asyncio
import selectors


class _Selector(selectors.DefaultSelector):
    """Reports what is ready now; where the loop would wait, its clock goes on instead."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self._loop.now_s += timeout
        return ready if ready or timeout is not None else super().select(None)


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time`` is virtual and begins at 0."""

    def __init__(self):
        self.now_s = 0.0
        super().__init__(_Selector(self))

    def time(self):
        return self.now_s


def run_virtual(scenario):
    """The result of the coroutine function ``scenario``."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario())
