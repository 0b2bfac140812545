"""Partners, agreements, grants and the tokens that partners read with."""
