"""The places where the world is noted or answered from a recording, below every client: HTTP requests (`wire`) and embeddings (`vectors`)."""
