"""What a person sees and clicks, tested in a real browser."""
