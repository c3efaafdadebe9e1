"""The engine of a Ray cluster: evaluations run in its actors, wherever Ray has room for them."""
