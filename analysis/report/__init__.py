"""The report of one run: page, Markdown, metrics.json."""
