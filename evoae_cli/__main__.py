"""The command `evoae`, also as `python -m evoae_cli`."""

import sys


def main() -> None:
    """Run the command line, and exit; also where Ctrl-C comes while it is still being loaded."""
    try:
        from evoae_cli.app.main import run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
