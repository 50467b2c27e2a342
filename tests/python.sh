#!/bin/sh
# Runs a test that is a Python program; where there is no python3, skips it.
if ! command -v "${PYTHON3:-python3}" >/dev/null; then
	echo "skip: $1: no python3 here"
	exit 77
fi
exec "${PYTHON3:-python3}" "$@"
