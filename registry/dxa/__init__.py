"""The domain of quantitative DXA imaging: cohort, physics, models, strategies and tasks."""
