"""``python -m advcore``: the command, where its script is not on the path."""

from advcore.cli import main

if __name__ == "__main__":
    main(prog_name="advcore")
