#!/bin/sh
# The committed corpus of fuzz_dns, once.
exec "${builddir:-.}/replay_dns" "${srcdir:-.}/tests/fuzz/dns"
