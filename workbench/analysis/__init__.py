"""What one run says of itself, told from its steps alone: effects, approvals, retries, where arguments come from, which instructions were followed.

Detectors, the audit, incidents and views all read these; no module here knows of a store, a detector, or a second run.
"""
