"""What evolution is compared with: random architectures, trained and scored as its own are."""
