"""The commands of `python -m minissd`, one module each: its docstring is its help."""
