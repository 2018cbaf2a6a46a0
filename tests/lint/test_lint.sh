#!/bin/sh
# test_lint.sh -- every rule of lint.sh passes a clean tree and fails one with a fault in it.
set -u
lint=$(cd "$(dirname "$0")" && pwd)/lint.sh
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failed=0

clean()
{
    rm -rf "${tree:?}"/*
    mkdir -p "$tree/src/base" "$tree/src/kernel" "$tree/src/model" "$tree/src/train" \
        "$tree/src/eval" "$tree/src/unlearn" "$tree/src/attack" "$tree/src/world" \
        "$tree/mpi" "$tree/tests"
    cat >"$tree/src/unlearn/gd.c" <<'C'
#include "base/error.h" /* not <mpi.h> */
#include "unlearn/method.h"
/* A comment may say exit(1) or printf("x"), and
 * so may one of two lines: abort(); stderr. */
int step(char *text)
{
    return snprintf(text, 9, "exit(%d) \" stdout", '"');
}
const pal_method_t pal_method_gd = {
C
    echo 'PAL_METHOD(gd)' >"$tree/src/unlearn/methods.def"
    : >"$tree/src/attack/attacks.def"
    : >"$tree/src/world/worlds.def"
    echo '#include <hdf5.h>' >"$tree/mpi/store_make.c"
    echo 'int main(void) { printf("x"); exit(1); }' >"$tree/mpi/main.c"
}

# fault RULE FILE TEXT MESSAGE: with TEXT appended to FILE, RULE fails and says MESSAGE.
fault()
{
    clean
    printf '%b\n' "$3" >>"$tree/$2"
    if said=$("$lint" "$1" "$tree"); then
        echo "lint $1 passes '$3' in $2"
        failed=1
    elif ! echo "$said" | grep -qF -- "$4"; then
        echo "lint $1 on '$3' in $2 does not say '$4' but: $said"
        failed=1
    fi
}

clean
for rule in includes arrows exit registry sizes; do
    "$lint" "$rule" "$tree" || { echo "lint $rule fails a clean tree"; failed=1; }
done

fault includes src/base/a.c '#include <mpi.h>' 'src/base/a.c:1:'
fault includes mpi/plan.c 'int a;\n# include <hdf5.h>' 'mpi/plan.c:2:'
fault includes mpi/store.c '#include <hwloc.h>' 'belongs to ^mpi/place'
fault includes src/model/a.h '#include <cblas.h>' 'src/model/a.h:1:'
fault arrows src/base/a.c '#include "kernel/gemm.h"' 'from base'
fault arrows src/train/a.c '#include "eval/choice.h"' 'from train'
fault arrows src/attack/a.h '#include "unlearn/method.h"' 'from attack'
fault arrows src/model/a.c '#include "mpi/plan.h"' 'from model'
fault arrows src/model/a.c '#include "../world/world.h"' 'from model'
fault exit src/base/a.c 'if (x) exit(1);' 'src/base/a.c:1:'
fault exit mpi/worker.c '/* why */ printf("%d", 1);' 'mpi/worker.c:1:'
fault exit src/base/a.c 'fprintf(stderr, text);' 'src/base/a.c:1:'
fault exit mpi/cmd.c 'abort();' 'mpi/cmd.c:1:'
fault registry src/unlearn/npo.c 'const pal_method_t pal_method_npo = {' 'PAL_METHOD(npo)'
fault registry src/attack/lora.c 'const pal_attack_t pal_attack_lora = {' 'PAL_ATTACK(lora)'
fault registry src/world/a.c 'const pal_world_kind_t pal_world_b = {' 'b belongs in'
fault sizes src/base/a.c "$(printf '%0101d' 0)" '101 columns'
fault sizes src/base/a.c "int f(void)\n{$(printf '%081d' 0 | sed 's/0/\\n/g')\n}" 'at most 80'
fault sizes mpi/a.c "$(printf '%0701d' 0 | sed 's/0/\\n/g')" 'at most 700'
exit $failed
