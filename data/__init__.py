"""Data sets that ship with the package: one folder each, with a table.csv in the tidy format and a README."""
