"""Training: one loop, whose optimiser, schedule, objective, update and rounds are slots."""
