"""The places where the world is noted, or answered from a recording, below every client: HTTP requests (`wire`), embeddings (`vectors`), starts of graphs
(`starts`) with what their context says (`contexts`)."""
