"""Results of `clbench tune` that ship with the package; suites name them under `tuned`."""
