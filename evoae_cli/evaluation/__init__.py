"""What a phenotype is worth: images, training, scores."""
