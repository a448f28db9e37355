"""`python -m launcher` is `launch`: how a background process of ours is started."""

from launcher.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
