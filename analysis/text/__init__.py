"""Figures and tables as text: numbers, sheets, Markdown, CSV for spreadsheets."""
