"""The command line: each command parses its arguments, calls one function of another room and prints the result."""
