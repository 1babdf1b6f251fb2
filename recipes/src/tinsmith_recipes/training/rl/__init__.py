"""Reinforcement learning: environments that call the policy, and the loop that learns from them."""

from tinsmith_recipes.training.rl.advantages import centred, leave_one_out, normalised, per_mean
from tinsmith_recipes.training.rl.environment import Env, Environment, Outcome, Stepped
from tinsmith_recipes.training.rl.loop import train_rl
from tinsmith_recipes.training.rl.metrics import of_episodes
from tinsmith_recipes.training.rl.own import learn
from tinsmith_recipes.training.rl.policy import ContextFull, Policy, Sampled
from tinsmith_recipes.training.rl.rollouts import Episode, Group, play_all, told
from tinsmith_recipes.training.rl.settings import RLSettings

__all__ = [
    "ContextFull",
    "Env",
    "Environment",
    "Episode",
    "Group",
    "Outcome",
    "Policy",
    "RLSettings",
    "Sampled",
    "Stepped",
    "centred",
    "learn",
    "leave_one_out",
    "normalised",
    "of_episodes",
    "per_mean",
    "play_all",
    "told",
    "train_rl",
]
