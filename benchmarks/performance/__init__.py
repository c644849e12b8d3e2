"""How fast it is: ratios measured in one run. `python -m clbench.benchmarks.performance [NAME]`."""
