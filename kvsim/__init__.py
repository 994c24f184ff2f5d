"""kvsim: learn by experiment what each design choice of a distributed key-value store costs."""
