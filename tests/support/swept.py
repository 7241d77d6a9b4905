"""What became of a sweep, for tests: its answer, and parts of it by their names."""

from analysis.runs.load import load
from analysis.sweep_report.sweep_answer import sweep_answer
from analysis.tables.run_tables import Tables


def answered(path):
    return sweep_answer(Tables(load(path)))


def picks(found):
    return [choice.cell and choice.cell.name for choice in found.decision.choices]


def sheet(found, title):
    """A table by its title: a dict a row, by the names of its columns."""
    of = next(one for one in [found.policies, *found.sheets()] if one.title == title)
    return {row[0]: dict(zip(of.head, row, strict=True)) for row in of.rows}


def cell(found, name):
    return next(one for one in found.sweep.cells if one.name == name)


def figures(found):
    return {plot.name: plot for plot in found.plots()}
