"""Distillation: a student learns from a teacher's answers, its probabilities, or its judgement."""

from tinsmith_recipes.training.distillation.chats import Asked, ChatData, asked_of
from tinsmith_recipes.training.distillation.lessons import LessonSettings, learn, lessons
from tinsmith_recipes.training.distillation.on_policy import Ask, Guidance
from tinsmith_recipes.training.distillation.soft import SoftTargets, soft_datum
from tinsmith_recipes.training.distillation.teacher import Teacher, check_same_tokens, open_teacher
from tinsmith_recipes.training.distillation.trial import (
    gap_closed,
    learn_data,
    learn_exercises,
    right,
    said_before,
    said_now,
    say,
    show,
)

__all__ = [
    "Ask",
    "Asked",
    "ChatData",
    "Guidance",
    "LessonSettings",
    "SoftTargets",
    "Teacher",
    "asked_of",
    "check_same_tokens",
    "gap_closed",
    "learn",
    "learn_data",
    "learn_exercises",
    "lessons",
    "open_teacher",
    "right",
    "said_before",
    "said_now",
    "say",
    "show",
    "soft_datum",
]
