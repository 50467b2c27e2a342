#!/bin/sh
# The quick system tests as an ordinary user: see quick.sh.
exec sh "${srcdir:-.}/tests/system/quick.sh" user
