"""Tools of the repository: each file is a program of its own."""
