"""What partners may know of people besides their words: when conversations happen, and who is a friend, as codes."""
