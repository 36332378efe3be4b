"""Which model, or which prior, do the same readings speak for?"""
