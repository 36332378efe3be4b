"""Reading a posterior: a run folder in; a summary, predictions, comparisons and forecasts out, for notebooks and jobs."""
