"""Inside the process of a re-run: every call of its agent is put to the recording, and what has none halts, or is asked for outside.

- `rerun` sets everything up and tells what came of it; `drive` starts the graph, and again as often as the recorded run was, on its `runner`. `graphs`
  loads it, `overlay` gives it a changed state, `reload` looks whether a fresh process would find the state it ends with.
- `fence` puts every call to `playback`, by way of `tool_twins`, `model_twins`, `services` and `nodes`; `answers` makes of a recorded answer what the agent
  expects, `alterations` are the change as calls meet it, `journal` writes down each call and `tripwire` what reached past all of them.
- `reach` asks for a live call from inside; `outside` is the process that makes it, and `injected` crosses with it.
"""
