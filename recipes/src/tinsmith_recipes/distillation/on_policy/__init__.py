"""On-policy distillation: the student speaks, and the teacher judges every token of it."""
