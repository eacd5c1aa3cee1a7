#!/bin/sh
# Cuts the font that PNG charts are written with out of DejaVu Sans:
#
#     sh scripts/cut_font.sh DejaVuSans.ttf     # as it comes, with its licence, in matplotlib's wheel
#
# Needs pyftsubset (pip install fonttools). Latin, Greek, Cyrillic, arrows and mathematical signs stay;
# hints and what lays out other scripts go.
set -eu
pyftsubset "$1" \
    --unicodes="U+0020-007E,U+00A0-017F,U+0192,U+02C6-02DD,U+0386-03CE,U+0400-045F,U+0490-0491,U+2010-2027,U+2030-203A,U+2070-208E,U+2190-2199,U+2200-2265,U+25A0-25FF,U+FFFD" \
    --no-hinting --layout-features='' --drop-tables+=GPOS,GSUB,GDEF,kern,FFTM \
    --output-file="$(dirname "$0")/../assets/fonts/DejaVuSans-subset.ttf"
