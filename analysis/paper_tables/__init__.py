"""Tables 1 to 8 of the paper, our numbers beside the published ones."""

from analysis.tables.paper import NUMBERS, PaperTable, paper_table, paper_tables
from analysis.tables.render import FORMATS, render

__all__ = ["FORMATS", "NUMBERS", "PaperTable", "paper_table", "paper_tables", "render"]
