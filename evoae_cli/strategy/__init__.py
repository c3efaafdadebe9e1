"""How it evolves, free of torch: populations, and searches that are asked and told."""
