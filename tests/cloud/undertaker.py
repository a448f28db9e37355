"""Outlives the world by a moment: when the world's end of the pipe closes, even by kill -9, nothing of it may stay."""

import os
import shutil
import sys

from tests.cloud.processes import WORLD_MARK, end


def main(world: str, folder: str) -> None:
    """Wait for end of file on standard input, then end every process of that world and remove its folder."""
    while os.read(0, 4096):
        pass
    end(WORLD_MARK, world)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
