"""same_results.py A B -- exit 0 if the results of two files are equal byte by byte."""
import sys

import h5py


def differing(a, b):
    """Names of the datasets of /base, /unlearned and /trials that differ."""
    for table in ("base", "unlearned", "trials"):
        if set(a[table]) != set(b[table]):
            yield table
        for name in set(a[table]) & set(b[table]):
            if a[table][name][()].tobytes() != b[table][name][()].tobytes():
                yield f"{table}/{name}"


def main():
    with h5py.File(sys.argv[1], "r") as a, h5py.File(sys.argv[2], "r") as b:
        names = sorted(differing(a, b))
        print(len(a["trials/state"]), "trials; differing:", ", ".join(names) or "nothing")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
