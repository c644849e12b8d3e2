"""Scripts that measure speed and memory: `python -m clbench.benchmarks.performance` lists them.

A script is a module without a leading underscore. It has `TURNS`, `add_arguments` and `measure`.
"""
