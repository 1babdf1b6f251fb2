"""A model as judge: answers are scored by a rubric, and what scores well becomes likelier."""
