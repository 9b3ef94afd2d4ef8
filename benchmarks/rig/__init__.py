"""What the programs beside this folder measure with: a world on loopback, loads, peers, and the form of a result."""
