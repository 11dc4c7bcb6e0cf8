"""The places below every client where the world is noted, or answered from a recording.

HTTP requests (`wire`), embeddings (`vectors`), and starts of graphs (`starts`) with how they are configured (`configs`) and what they are
given as context (`contexts`); and whose code is running, in threads too (`threads`).
"""
