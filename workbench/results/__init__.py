"""What the bench's verbs return, each a value that shows itself as text and HTML and opens as a view: findings, receipts, comparisons, sweeps."""
