"""The hunt: many small runs under drawn faults, judged; what is refuted is shrunk and told as a story."""
