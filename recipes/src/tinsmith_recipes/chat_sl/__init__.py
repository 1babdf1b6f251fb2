"""Chat SFT: a model learns to answer as the assistant of given chats does."""
