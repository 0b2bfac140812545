"""A witness: a process of its own that cosigns only logs which go on from what it cosigned before."""
