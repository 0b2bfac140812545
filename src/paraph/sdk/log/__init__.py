"""The transparency log as devices and partners rely on it: pinned, proven, and held to its promises."""
