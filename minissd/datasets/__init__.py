"""Pictures with boxes: reading, checking, generating, augmenting and batching them. NumPy only."""
