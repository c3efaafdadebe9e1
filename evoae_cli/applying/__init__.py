"""What is done with a finished model: cleaning images, codes, files for other programs."""
