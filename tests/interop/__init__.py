"""Other people's Matrix clients against a real Paraph server."""
