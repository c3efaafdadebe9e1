"""`python -m evoae_cli`: the command `evoae`."""

from evoae_cli.app.main import run

if __name__ == "__main__":
    run()
