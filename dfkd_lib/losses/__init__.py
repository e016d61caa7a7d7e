"""The papers' losses, one file per paper: pure functions with their equation numbers."""
