"""LoRA: the linear that many adapters share, where adapters live, and their files."""
