"""`python -m clbench`: the command line."""

from clbench.cli.main import main

if __name__ == "__main__":
    main()
