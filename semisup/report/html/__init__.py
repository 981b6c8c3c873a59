"""HTML pages: self-contained files that need neither server nor network."""
