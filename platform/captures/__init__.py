"""What the platform itself notes of a run, so that a program that logs nothing has curves, too."""
