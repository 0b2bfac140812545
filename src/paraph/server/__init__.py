"""The platform, one room per concern; `app.py` alone wires the rooms together."""
