"""Reports: one HTML file for every fit, comparison and forecast, which asks no network for anything."""
