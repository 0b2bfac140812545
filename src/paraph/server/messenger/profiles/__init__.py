"""How people show themselves, and finding them."""
