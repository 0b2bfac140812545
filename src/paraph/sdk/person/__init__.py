"""A person's device: messages, grants, drafts, and the complete list of what happened to her words."""
