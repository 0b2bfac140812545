"""The public log explorer: what the log says, as pages that people read and as the same in JSON."""
