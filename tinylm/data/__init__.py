"""Text becomes documents, splits, ids and batches."""
