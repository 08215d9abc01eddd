"""Measures this service against llama-server on the same machine, in the same run. See README.md."""
