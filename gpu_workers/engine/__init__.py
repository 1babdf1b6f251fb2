"""The engine: one frozen base model, the adapters of many runs, one thread that does all the work.

The only place in Tinsmith that may import torch. It knows no Django, no SQL and no protobuf:
`types` holds what goes in and comes out, `engine.Engine` is the door.
"""
