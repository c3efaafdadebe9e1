"""Tasks and leases. A payload is opaque here: nothing of genomes or torch."""
