"""The report: one page of HTML that needs nothing else.

In: cells, the tidy tables, records, texts, photographs and the configuration. Out: `report.html`. Face: `write_report`,
the stage; `page` says what stands on the page, and `accuracy_tables`, `charts`, `confusions`, `measures` and
`provenance` make its parts.
"""
