"""The explored world: every order of a small run's events, one after the other, chosen by a search or by a person."""
