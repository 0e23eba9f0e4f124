"""Other people's tests, run on what is ours: `./scripts/conformance NAME` runs the module of that name."""
