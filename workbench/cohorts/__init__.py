"""Many runs of one agent held against each other: what they usually do, which paths they take, what changed between versions, models and days."""
