"""From files to observations and cohorts: tables tidy or as NONMEM takes them, and the catalogue of published data."""
