"""A handler whose result Python's json writes as NaN, which is no JSON."""

import math

import runpod

runpod.serverless.start({"handler": lambda job: {"score": math.nan}})
