"""People: commands that parse, call, print and set the exit code, and what they draw."""
