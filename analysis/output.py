"""The file a script writes: refused before the work, then there whole or not at all."""

import contextlib
import os

from results import ResultsError

PICTURES = (".png", ".pdf", ".svg")


def check(path, source, suffixes=None):
    """Refuse a name that cannot be written, or whose file should not be overwritten."""
    folder = os.path.dirname(path) or "."
    if not path:
        problem = "an empty name"
    elif os.path.isdir(path):
        problem = "a folder"
    elif os.path.exists(path) and not os.path.isfile(path):
        problem = "a pipe or device"
    elif os.path.exists(path) and os.path.samefile(path, source):
        problem = "the results file itself"
    elif suffixes and os.path.splitext(path)[1] not in suffixes:
        problem = f"a picture's name ends with {', '.join(suffixes[:-1])} or {suffixes[-1]}"
    elif not os.access(folder, os.W_OK):
        problem = f"no folder {folder} to write in"
    else:
        return
    raise ResultsError(f"cannot write '{path}': {problem}")


@contextlib.contextmanager
def writing(path, mode="x", **how):
    """A new file beside path, which takes its place when the block ends without an error."""
    whole = os.path.realpath(path)  # a symbolic link stays
    beside = f"{whole}.{os.getpid():08}.tmp"
    try:
        with open(beside, mode, **how) as file, contextlib.ExitStack() as failing:
            failing.callback(os.remove, beside)
            yield file
            file.flush()
            os.replace(beside, whole)
            failing.pop_all()
    except OSError as error:
        raise ResultsError(f"cannot write '{path}': {error.strerror or error}") from None
