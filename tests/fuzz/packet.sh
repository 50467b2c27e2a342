#!/bin/sh
# The committed corpus of fuzz_packet, once.
exec "${builddir:-.}/replay_packet" "${srcdir:-.}/tests/fuzz/packet"
