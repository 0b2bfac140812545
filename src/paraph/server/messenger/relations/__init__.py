"""Events that relate to others: edits, reactions, threads, references; and what is bundled with their target."""
