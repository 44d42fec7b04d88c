"""``python -m tinylm`` is ``tinylm``."""

from tinylm.cli.main import main

if __name__ == "__main__":
    main()
