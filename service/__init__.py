"""mistral-api: serves a GGUF model over llama-server's and OpenAI's HTTP API."""

__version__ = "0.1.0"
