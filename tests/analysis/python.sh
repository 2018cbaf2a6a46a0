#!/bin/sh
# python.sh SCRIPT ARG... -- run it with the first Python that has what analysis/ needs.
for python in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3; do
    "$python" -c 'import h5py, numpy, matplotlib' 2>/dev/null && exec "$python" "$@"
done
echo "python.sh: no Python with h5py, numpy and matplotlib; PYTHON names one" >&2
exit 1
