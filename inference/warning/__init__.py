"""Could we have known? Readings as they arrive, the chance of a storm after each, and how such warnings score."""
