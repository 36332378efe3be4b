"""Does a fit suit its readings and its priors? Tests with a stated rate of false alarms, and hints that have none."""
