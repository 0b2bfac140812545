"""What partners say that they deleted, on the record of the person whose words it was."""
