#!/bin/sh
# The committed corpus of fuzz_answer, once.
exec "${builddir:-.}/replay_answer" "${srcdir:-.}/tests/fuzz/answer"
