"""Imported first by each script: a Python without the packages ends it in one line."""

import os
import sys


def _say(kind, error, trace):
    if not issubclass(kind, ModuleNotFoundError):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"{os.path.basename(sys.argv[0])}: {sys.executable} has no {error.name}; try "
          "/usr/bin/python3 (INSTALL, section 6)", file=sys.stderr)
    sys.exit(2)


sys.excepthook = _say
