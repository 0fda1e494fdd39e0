"""`python -m varinv` is the command `varinv`."""

from varinv.cli import main

if __name__ == "__main__":
    main()
