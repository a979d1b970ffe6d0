# observe
