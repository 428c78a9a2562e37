"""Reports: the journal of a search as statistics, tables, figures and `report.html`."""
