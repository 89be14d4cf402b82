"""Frozen networks as they are run: batch norms folded, and in the runtime that is fastest and gives the same."""
