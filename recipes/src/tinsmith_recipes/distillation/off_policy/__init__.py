"""Off-policy distillation: the student learns what the teacher says."""
