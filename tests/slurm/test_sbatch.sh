#!/usr/bin/env bash
# test_sbatch.sh PROGRAM -- slurm/sweep.sbatch without Slurm: it must not say that a sweep is done
# which was refused, or never ran. `mpirun` is one of ours, which runs a single rank or fails.
set -uo pipefail
PALIMPSEST=$(realpath "$1")
script=$(cd "$(dirname "$0")/../.." && pwd)/slurm/sweep.sbatch
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export PALIMPSEST PATH="$work/bin:$PATH" POLL=0.1 ASAN_OPTIONS=detect_leaks=0
export SLURM_JOB_ID=1 SLURM_JOB_NODELIST=here SLURM_NTASKS=1
unset SLURM_RESTART_COUNT SLURM_CPUS_PER_TASK
wrong=0

mkdir bin
cat >bin/mpirun <<'S'
#!/bin/sh
echo "mpirun was called"
[ ! -e broken ] || exit 1
while [ "$1" != "$PALIMPSEST" ]; do shift; done
exec "$@"
S
cat >bin/answers <<'S'
#!/bin/sh
case $1 in
plan) cat lacking ;;
status) echo '{"trials": {"pending": 0, "done": 5, "failed": 2}}' ;;
esac
S
chmod +x bin/*

# expect RC WORDS CONFIG FILE: how it ends, and what the log then says.
expect()
{
    bash "$script" "$3" "$4" >log 2>&1
    local rc=$?

    if [ $rc != "$1" ] || ! grep -qF -- "$2" log; then
        echo "$3 $4: ends with $rc, expected $1 and '$2':"
        cat log
        wrong=1
    fi
}

# never WORDS: the log of the last one does not say that.
never()
{
    grep -qF -- "$1" log || return 0
    echo "the log says '$1':"
    cat log
    wrong=1
}

config()
{
    printf '%s\n' "sweep: s" "world: {kind: synthetic, facts: 15, folds: 3}" \
        "controls: false" "pretrain: {steps: 2, batch: 4}" \
        "unlearn: {method: gd, steps: 1, batch: 4, coefficient: $1}" \
        "attack: {kind: finetune, steps: 1, batch: 4, evaluations: 1}"
}
config '[1, 2]' >two.yaml
config 1 >one.yaml
config '[1, 2, 3]' >three.yaml

expect 0 'done: s.h5, failed trials: 0' two.yaml s.h5
expect 0 'done: s.h5, failed trials: 0' two.yaml s.h5

# FILE is complete, but under another config.
expect 2 's.h5 holds 1 done trials' one.yaml s.h5
never 'mpirun was called'
expect 2 'nosuch.yaml: no such file' nosuch.yaml s.h5
never 'mpirun was called'
touch broken
expect 1 'trials left: 1' three.yaml s.h5
never 'done:'
expect 1 'computed nothing' two.yaml new.h5
rm broken
expect 0 'done: s.h5, failed trials: 0' three.yaml s.h5

# Trials that failed are done with, until the line is given again.
PALIMPSEST=$work/bin/answers
echo 2 >lacking
expect 1 'done: s.h5, failed trials: 2' two.yaml s.h5
echo 3 >lacking
expect 1 'trials left: 1' two.yaml s.h5
never 'done:'
exit $wrong
