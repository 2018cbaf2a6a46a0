#!/bin/sh
# lint.sh RULE ROOT -- one convention of the sources of ROOT. Prints file:line and what is
# wrong, and exits 1, if it is broken. test_lint.sh shows that each rule can fail.
set -u

# Sources of the given folders with comments and strings blanked, as "file:line: code".
# Includes keep their file names, which is what the first rules look at.
code()
{
    find "$@" \( -name '*.c' -o -name '*.h' \) -type f | sort | while read -r file; do
        awk -v file="$file" '
        {
            line = $0; out = ""
            if (!comment && match(line, /^[ \t]*#[ \t]*include *["<][^">]*[">]/)) {
                out = substr(line, 1, RLENGTH); line = substr(line, RLENGTH + 1)
            }
            while (line != "") {
                if (comment) {
                    end = index(line, "*/")
                    if (!end) break
                    line = substr(line, end + 2); comment = 0
                } else if (match(line, /^"([^"\\]|\\.)*"/) ||
                           match(line, /^\047([^\047\\]|\\.)*\047/)) {
                    out = out "\"\""; line = substr(line, RLENGTH + 1)
                } else if (substr(line, 1, 2) == "//") {
                    break
                } else if (substr(line, 1, 2) == "/*") {
                    line = substr(line, 3); comment = 1
                } else {
                    out = out substr(line, 1, 1); line = substr(line, 2)
                }
            }
            print file ":" NR ": " out
        }' "$file"
    done
}

# Third-party headers stay where they are wrapped, so that each can be replaced in one place.
includes()
{
    code src mpi tests | awk '
    function only(header, place) {
        if (index($0, "<" header ">") && $1 !~ place) {
            print $0 " -- <" header "> belongs to " place; bad = 1
        }
    }
    /# *include/ {
        only("mpi.h", "^(mpi|tests/sweep)/"); only("hdf5.h", "^mpi/store"); only("hwloc.h", "^mpi/place")
        only("cblas.h", "^src/kernel/gemm"); only("oneapi/dnnl/dnnl.h", "^src/kernel/onednn")
        only("yaml.h", "^mpi/"); only("cmocka.h", "^tests/")
    }
    END { exit bad }'
}

# A folder includes itself and what lies below it. mpi/ lies above all.
arrows()
{
    code src | awk '
    BEGIN {
        split("base kernel model world train unlearn stage bench", order, " ")
        for (i in order) level[order[i]] = i + 0
        level["eval"] = level["train"]; level["attack"] = level["unlearn"]
    }
    /# *include +"/ {
        split($1, from, "/"); split($0, quoted, "\"")
        to = quoted[2]
        if (to !~ /\// || to ~ ("^" from[2] "/")) next
        sub(/\/.*/, "", to)
        if (!(to in level) || !(from[2] in level) || level[to] >= level[from[2]]) {
            print $0 " -- an arrow from " from[2] " that does not point down"; bad = 1
        }
    }
    END { exit bad }'
}

# What ends the program or talks to its user lives in main, cli, the commands and progress.
# Writing to a stream that the caller gave is not talking.
exits()
{
    code src mpi | awk '
    $1 ~ /^mpi\/(main|command\/[a-z0-9_]*|sweep\/progress)\.c:/ { next }
    {
        line = $0; sub(/^[^ ]* /, "", line)
        if ((" " line) ~ /[^A-Za-z0-9_](_?exit|_Exit|quick_exit|abort|v?d?printf|puts|putchar|perror) *\(/ ||
            (" " line) ~ /[^A-Za-z0-9_](stdout|stderr)[^A-Za-z0-9_]/) {
            print $0 " -- ends or prints below main"; bad = 1
        }
    }
    END { exit bad }'
}

# registry FOLDER NOUN LIST: an entry that is in no list is never built into anything.
# (A line without a file does not link.)
registry()
{
    code "src/$1" | sed -n "s/^\([^:]*\):.*const pal_[a-z_]* pal_$2_\([a-z0-9_]*\) *=.*/\1 \2/p" |
        while read -r file id; do
            macro=$(echo "PAL_$2" | tr '[:lower:]' '[:upper:]')
            grep -qx "$macro($id)" "src/$1/$3" || echo "$file -- no line $macro($id) in $3"
            [ "$file" = "src/$1/$id.c" ] || echo "$file -- $id belongs in src/$1/$id.c"
        done | grep . && return 1
    return 0
}

# Functions as the braces in column 0 show them, files, columns.
sizes()
{
    find src mpi tests -type f \( -name '*.c' -o -name '*.h' \) | sort | while read -r file; do
        LC_ALL=C awk -v file="$file" -v most="$(
            case $file in src/kernel/*) echo 120 ;; *) echo 80 ;; esac)" '
        { text = $0; gsub(/[\200-\277]/, "", text) }
        length(text) > 100 { print file ":" NR ": " length(text) " columns, at most 100" }
        /^[{]/ { start = NR }
        /^[}]/ && start {
            if (NR - start - 1 > most)
                print file ":" start ": a function of " NR - start - 1 " lines, at most " most
            start = 0
        }
        END { if (NR > 700) print file ": " NR " lines, at most 700" }' "$file"
    done | grep . && return 1
    return 0
}

cd "$2" && [ -d src ] || exit 2
case $1 in
includes | arrows | sizes) "$1" ;;
exit) exits ;;
registry)
    registry unlearn method methods.def && registry attack attack attacks.def &&
        registry world world worlds.def
    ;;
*) echo "lint.sh: no rule '$1'" >&2 && exit 2 ;;
esac
