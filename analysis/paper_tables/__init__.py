"""Tables 1 to 8 of the paper, our numbers beside the published ones."""

from analysis.paper_tables.build import NUMBERS, PaperTable, paper_table, paper_tables
from analysis.paper_tables.render import FORMATS, render

__all__ = ["FORMATS", "NUMBERS", "PaperTable", "paper_table", "paper_tables", "render"]
