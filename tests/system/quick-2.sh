#!/bin/sh
# The share 2/3 of the quick system tests: see quick.sh.
exec sh "${srcdir:-.}/tests/system/quick.sh" 2/3
