"""What a message costs, beside what it would cost on a server that does nothing else."""
