"""Each file breaks one thing for real and says when, on CLOCK_MONOTONIC, just before it did."""
