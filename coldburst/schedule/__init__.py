"""Load as data: text to stages, stages to arrivals."""
