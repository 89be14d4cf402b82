"""What several stages share: their inputs, their training, their engines."""
