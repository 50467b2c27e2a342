#!/bin/sh
# The seeds of the grammar's and the loader's fuzz targets, and every policy there is.
set -e
src=${srcdir:-.}
build=${builddir:-.}
"$build/replay_parse" "$src/tests/fuzz/parse" "$src"/tests/conf/*.in "$src"/policy/*.conf
"$build/replay_load" "$src/tests/fuzz/load"
