"""The smallest handler of a user's own: a job's input is its output."""

import runpod

runpod.serverless.start({"handler": lambda job: job["input"]})
