"""What people report to the operator: events, rooms, people."""
