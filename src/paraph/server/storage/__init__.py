"""Where everything durable goes: one `Database`, group commit, versioned migrations."""
