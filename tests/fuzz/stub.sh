#!/bin/sh
# The committed corpus of fuzz_stub, once.
exec "${builddir:-.}/replay_stub" "${srcdir:-.}/tests/fuzz/stub"
