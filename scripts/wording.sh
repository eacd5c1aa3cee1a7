#!/bin/sh
# Counts wording of kinds that read as riddles: documentation comments that do not begin with what
# the thing is or does, and messages of the kind "`xlsx` is no format". Lists every place, and fails when more than 3 in
# 1,000 comments, or any message, are of that kind.
#
#     sh scripts/wording.sh
set -eu
cd "$(dirname "$0")/.."

find src core/src tests benches examples fuzz -name '*.rs' -not -path '*/target/*' | sort | xargs awk '
    FNR == 1 { inside = 0 }
    {
        doc = match($0, /^[ \t]*\/\/[\/!] /)
        if (doc && !inside) {
            openers++
            text = substr($0, RSTART + RLENGTH)
            if (text ~ /^(What|Of|Where|Whether it|The same|So many|Something|Whatever|Whoever|Who|How|As much|As many|That)[ ,.]/) {
                old++
                printf "%s:%d: comment: %s\n", FILENAME, FNR, text
            }
        }
        inside = doc || ($0 ~ /^[ \t]*\/\/[\/!]$/)
    }
    !/^[ \t]*\/\// && /"[^"]*( is no [a-z]+|otherwise than|[(`"]what )[^"]*"/ {
        messages++
        printf "%s:%d: message: %s\n", FILENAME, FNR, $0
    }
    END {
        printf "%d of %d comments (%.1f in 1,000) and %d messages\n", old, openers, 1000 * old / openers, messages
        exit (1000 * old > 3 * openers || messages > 0)
    }'
