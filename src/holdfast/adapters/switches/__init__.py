"""Virtual switches that can be mended: each file is one product (ports.switch)."""
