"""Traces as they happen: an exporter inside the agent's process, a receiver beside it, a recorder for LangGraph.

    provider.add_span_processor(wb.StoreExporter("incident.db"))    # any OpenTelemetry SDK
    workbench receive --store incident.db                           # anything that speaks OTLP
    with wb.record(graph, "incident.db") as graph: ...              # LangGraph

All three end in the same store as `workbench ingest`, and the same span comes out the same whichever way it came.
"""
