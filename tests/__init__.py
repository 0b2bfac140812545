"""The tests of Paraph; a folder for each area of the source."""
