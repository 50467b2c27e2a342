#!/bin/sh
# The seeds of the grammar's and the loader's fuzz targets, and every policy there is.
# Those of the loader are made here, so that they are of the version that it takes.
set -e
src=${srcdir:-.}
build=${builddir:-.}
seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
"$build/replay_parse" "$src/tests/fuzz/parse" "$src"/tests/conf/*.in "$src"/policy/*.conf
"$build/load_seeds" "$seeds" "$src"/tests/conf/*.in "$src"/policy/*.conf
"$build/replay_load" "$seeds"
