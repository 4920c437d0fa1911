"""How hyperparameters are searched: shared draws, proposals of a sampler, early stopping, budgets."""
