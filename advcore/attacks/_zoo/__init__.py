"""The parts of ZOO: variables, solvers, the choice of coordinates, and its state on disk."""
