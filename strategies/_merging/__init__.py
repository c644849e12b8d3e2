"""Merging of weights: task vectors, the formulas of the methods, and the base classes of their strategies."""
