"""Where evaluations run: one small protocol, and the local engine."""
