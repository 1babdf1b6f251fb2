"""Who may use the platform: users, teams, memberships, API keys."""
