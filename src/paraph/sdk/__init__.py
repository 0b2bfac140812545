"""What people's devices and partners run."""
