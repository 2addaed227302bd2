"""The demo model: its world, its edits, its judge, its networks and their training."""
