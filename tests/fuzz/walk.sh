#!/bin/sh
# A few seconds of each random walk; other seeds every day.
seed=$(date +%j000)
"${builddir:-.}/walk_frame" "$seed" 4 || exit 1
FUZZ_LINK=plain "${builddir:-.}/walk_frame" "$seed" 2 4000 || exit 1
"${builddir:-.}/walk_link" "$seed" 2 3000
