#!/bin/sh
# The committed corpus of fuzz_inspect, once.
exec "${builddir:-.}/replay_inspect" "${srcdir:-.}/tests/fuzz/inspect"
