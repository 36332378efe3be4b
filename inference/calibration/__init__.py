"""Is the inference right? Truths are drawn, readings drawn for each, and each is looked for in its own posterior."""
