"""What the evaluation of a run says: items read with suspicion, metrics, comparisons, the verdict; on the laptop."""
