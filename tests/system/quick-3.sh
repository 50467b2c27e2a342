#!/bin/sh
# The share 3/3 of the quick system tests: see quick.sh.
exec sh "${srcdir:-.}/tests/system/quick.sh" 3/3
