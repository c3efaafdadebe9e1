"""What evolves, free of torch: layers, genotypes and their variation."""
