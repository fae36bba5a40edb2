"""`python -m banyan` is `banyan`."""

from banyan.cli import main

if __name__ == "__main__":
    main()
