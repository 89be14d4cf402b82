"""Which student fits the budget: candidates trained by successive halving and measured, and their Pareto front."""
