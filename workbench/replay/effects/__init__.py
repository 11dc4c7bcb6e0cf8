"""What a re-run does for real: the `broker` decides, by `approvals` of a person and the `ledger` of every attempt."""
