"""What a trained model does on held-out data, as plain numbers for a report."""
