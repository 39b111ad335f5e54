#!/bin/sh
# A counter that lives in a cluster, from the command line. `bireme local --workers 1 &` starts a cluster.
set -eu

bireme actor create builtin/Counter --name counter
for _ in 1 2 3; do
  bireme actor call counter increment
done
bireme actor call counter add 10
bireme actor call counter get
bireme actor kill counter
