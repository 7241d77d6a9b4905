"""Reads runs and writes reports.

``runs`` reads files; ``statistics`` and ``tables`` compute; ``verdict``, ``gate`` and ``sweep`` judge; ``text`` and ``figures`` format;
``report``, ``compare``, ``sweep_report`` and ``locust_scaling`` write pages. The package is ``analysis`` in a clone and
``coldburst.analysis`` when installed, so its own imports are relative.
"""
