"""Load tests for serverless GPU endpoints, on Locust.

    from coldburst import ArrivalUser

    class Burst(ArrivalUser):
        schedule = "burst 30"

Names are imported when they are first used: ``import coldburst`` alone loads neither Locust nor gevent.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coldburst.shape import ScheduleShape
    from coldburst.sweep_users import ConcurrencyUser, MatrixUser, ScalingUser
    from coldburst.targets.own_calls import HttpError
    from coldburst.users import ArrivalUser, ColdStartUser, ReplayUser

__version__ = "0.1.0"
__all__ = [
    "ArrivalUser",
    "ColdStartUser",
    "ConcurrencyUser",
    "HttpError",
    "MatrixUser",
    "ReplayUser",
    "ScalingUser",
    "ScheduleShape",
    "__version__",
]


# Where a public name is, but for those of users.py.
MODULES = {
    "ConcurrencyUser": "sweep_users",
    "HttpError": "targets.own_calls",
    "MatrixUser": "sweep_users",
    "ScalingUser": "sweep_users",
    "ScheduleShape": "shape",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{MODULES.get(name, 'users')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, and those of the module itself."""
    return sorted({*globals(), *__all__})
