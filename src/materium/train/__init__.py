"""Training: one visible loop, its optimiser, and checkpoints that hold all of its state."""
