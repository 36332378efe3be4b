"""When to treat: the same patients under every treatment and start, what becomes of them, and which choice is best."""
