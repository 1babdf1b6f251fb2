"""The socket over which pages are told what happens: docs/live.md."""
