#!/usr/bin/env bash
# sweep.sh FOLDER -- a sweep through slurm/sweep.sbatch that has to requeue itself, and the same
# without Slurm: the results must be equal. See README.md.
set -euo pipefail

[ $# = 1 ] || { echo "usage: tests/slurm/sweep.sh FOLDER" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
config=$(realpath "${CONFIG:-$root/configs/methods.yaml}")
export PALIMPSEST=${PALIMPSEST:-$root/build/palimpsest}
read -ra login <<<"${LOGIN:-}"
[ -z "$(ls -A "$1" 2>/dev/null)" ] || { echo "sweep.sh: $1 is not an empty folder" >&2; exit 2; }
mkdir -p "$1/slurm" "$1/plain" # a cache of base models each
cd "$1"

"${login[@]}" sbatch --nodes=2 --ntasks-per-node=1 --time="${LIMIT:-3}" --job-name=requeues \
    "$root/slurm/sweep.sbatch" "$config" slurm/sweep.h5
while [ -n "$("${login[@]}" squeue --noheader --name=requeues)" ]; do
    sleep 5
done
cat requeues.*.log
grep -q 'requeueing' requeues.*.log || { echo "it never requeued itself" >&2; exit 1; }
grep -q 'done: slurm/sweep.h5, failed trials: 0' requeues.*.log

"$PALIMPSEST" run "$config" -o plain/sweep.h5
"${PYTHON:-python3}" "$root/tests/slurm/same_results.py" plain/sweep.h5 slurm/sweep.h5
