"""kvsim beside its yardsticks; `make bench` runs all."""
