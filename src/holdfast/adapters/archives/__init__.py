"""Archives: where bundles of last words are kept."""
