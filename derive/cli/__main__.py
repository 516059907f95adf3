"""`python -m derive.cli`."""

from derive.cli.commands import main

if __name__ == "__main__":
    main()
