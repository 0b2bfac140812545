"""The authorization server: OAuth 2.1 as FAPI 2.0 profiles it (docs/adr/0017-authorization-server.md)."""
