"""Commands that are too long to stand in `pipeline.cli`, one file a group; heavy imports inside."""
