"""Units of time in hours: inside, all time is in hours."""

HOURS = {"h": 1.0, "day": 24.0, "week": 168.0, "min": 1 / 60, "year": 8766.0}  # a year has 365.25 days

DAY, WEEK, YEAR = (HOURS[unit] for unit in ("day", "week", "year"))
