#!/bin/sh
# The share 1/3 of the quick system tests: see quick.sh.
exec sh "${srcdir:-.}/tests/system/quick.sh" 1/3
