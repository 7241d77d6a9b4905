"""Runs in, report out.

``runs`` reads what a run left, ``statistics`` and ``tables`` compute, ``verdict``, ``gate`` and ``sweep`` judge, ``text`` and ``figures``
show; ``report``, ``compare``, ``sweep_report`` and ``locust_scaling`` write what a user reads. In a clone the package is called
``analysis``, installed ``coldburst.analysis``: its own imports are relative, and a process loads it under one name.
"""
