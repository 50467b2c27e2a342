#!/bin/sh
# The committed corpus of fuzz_log, once.
exec "${builddir:-.}/replay_log" "${srcdir:-.}/tests/fuzz/log"
