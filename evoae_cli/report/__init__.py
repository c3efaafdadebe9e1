"""What a study's model does to images, for people."""
