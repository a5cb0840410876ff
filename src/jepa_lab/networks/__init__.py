"""Networks: encoders, aggregators, predictors, target averages and codebooks."""
