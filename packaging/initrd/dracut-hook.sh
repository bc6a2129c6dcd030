#!/bin/sh
# Hooks of dracut are read into its own shell: what ends itself must be a program.
/sbin/thinroot-deadman
