"""What a genotype becomes: the network and what it costs."""
