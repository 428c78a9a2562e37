"""Reports: statistics, tables, figures and `report.html` from the journal of a search."""
