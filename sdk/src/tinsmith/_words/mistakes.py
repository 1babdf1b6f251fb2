"""Says what a caller has got wrong, and what would be right. Nothing here runs while all is well.

Wrong keywords, misspelt names and values of another kind end up here, so that what people read
names their own code: the class or method, the name they wrote, and the nearest right one.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

Kind = TypeVar("Kind", bound=type)

# What other libraries call it; where several are named, the first that exists is meant
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "address": ("base_url",),
    "alpha": ("rank",),
    "beta1": ("optim_params",),
    "beta2": ("optim_params",),
    "betas": ("beta1", "optim_params"),
    "checkpoint": ("path", "model_path", "tinker_path"),
    "clip_grad_norm": ("grad_clip_norm",),
    "epsilon": ("eps",),
    "eval": ("forward",),
    "fit": ("forward_backward",),
    "generate": ("sample",),
    "host": ("base_url",),
    "input": ("model_input",),
    "input_ids": ("tokens", "prompt", "model_input"),
    "inputs": ("loss_fn_inputs", "model_input"),
    "key": ("api_key",),
    "labels": ("targets", "target_tokens"),
    "log_metrics": ("log",),
    "loss": ("loss_fn",),
    "lora_rank": ("rank",),
    "learning_rate": ("optim_params",),
    "lr": ("learning_rate", "optim_params"),
    "max_grad_norm": ("grad_clip_norm",),
    "max_length": ("max_tokens", "sampling_params"),
    "max_new_tokens": ("max_tokens", "sampling_params"),
    "max_tokens": ("sampling_params",),
    "messages": ("prompt",),
    "metadata": ("user_metadata",),
    "model": ("base_model",),
    "model_name": ("base_model",),
    "n": ("num_samples",),
    "num_return_sequences": ("num_samples",),
    "params": ("sampling_params", "optim_params"),
    "project": ("project_id",),
    "r": ("rank",),
    "save": ("save_state",),
    "load": ("load_state",),
    "seed": ("sampling_params",),
    "step": ("optim_step",),
    "stop": ("sampling_params",),
    "stop_sequences": ("stop",),
    "stop_strings": ("stop",),
    "stop_token_ids": ("stop",),
    "temp": ("temperature", "sampling_params"),
    "temperature": ("sampling_params",),
    "token": ("api_key",),
    "top_k": ("sampling_params",),
    "top_p": ("sampling_params",),
    "train": ("forward_backward",),
    "train_step": ("forward_backward",),
    "ttl": ("ttl_seconds",),
    "url": ("base_url",),
    "wd": ("weight_decay", "optim_params"),
    "weight_decay": ("optim_params",),
}


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant; None where none is near.

    >>> nearest("lr", ["beta1", "learning_rate"]), nearest("temprature", ["temperature"])
    ('learning_rate', 'temperature')
    """
    known = list(names)
    for candidate in _ELSEWHERE.get(word.lower(), ()):
        if candidate in known:
            return candidate
    plain = {name.lower().replace("_", ""): name for name in reversed(known)}
    wanted = word.lower().replace("_", "")
    close = difflib.get_close_matches(wanted, plain, 1, 0.6)
    return plain[close[0]] if close else None


def did_you_mean(word: str, names: Iterable[str], form: str = "{}") -> str:
    """``; did you mean X?``, or nothing."""
    near = nearest(word, names)
    return "" if near is None else f"; did you mean {form.format(near)}?"


# ---- calls


def explained(kind: Kind) -> Kind:
    """A class whose constructor and public methods say in our words how they are called."""
    for name, member in list(vars(kind).items()):
        if name != "__init__" and name.startswith("_"):
            continue
        if isinstance(member, staticmethod | classmethod):
            setattr(kind, name, type(member)(_explaining(member.__func__, name)))
        elif inspect.isfunction(member):
            title = kind.__name__ if name == "__init__" else name
            setattr(kind, name, _explaining(member, title))
    return kind


def _explaining(call: Callable[..., Any], title: str) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(call):

        @functools.wraps(call)
        async def later(*args: Any, **kwargs: Any) -> Any:
            try:
                coroutine = call(*args, **kwargs)
            except TypeError as error:
                raise _rephrased(error, title, call, args, kwargs) from None
            return await coroutine

        return later

    @functools.wraps(call)
    def now(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # the call itself was fine
            raise _rephrased(error, title, call, args, kwargs) from None

    return now


class Explained(msgspec.StructMeta):
    """Of structs whose constructors say in our words how they are called."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A new one."""
        try:
            return super().__call__(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            raise _rephrased(error, cls.__name__, cls, args, kwargs) from None


class Struct(msgspec.Struct, frozen=True, kw_only=True, metaclass=Explained):
    """Base of the values that callers make and get."""


def _rephrased(
    error: TypeError,
    title: str,
    call: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> TypeError:
    """The failure of a call in words that name what would be right."""
    parameters = dict(inspect.signature(call).parameters)
    first = next(iter(parameters), "")
    if first in ("self", "cls"):
        parameters.pop(first)
        args = args[1:]
    named = [name for name, item in parameters.items() if item.kind is not item.VAR_KEYWORD]
    takes = f"{title} takes {', '.join(named) or 'nothing'}"
    for name in kwargs:
        if name not in parameters:
            meant = did_you_mean(name, named, "{}=")
            return TypeError(f"{title} takes no {name!r}{meant or '.'} {takes}")
    positional = [
        name
        for name, item in parameters.items()
        if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
    ]
    if len(args) > len(positional):
        by_name = [name for name in named if name not in positional]
        how = f"give {', '.join(by_name)} by name: {title}({by_name[0]}=…)" if by_name else takes
        return TypeError(f"{title} got {len(args)} values in a row; {how}")
    for name in positional[: len(args)]:
        if name in kwargs:
            return TypeError(f"{title} got {name!r} twice: in its place and by name")
    missing = [
        name
        for name, item in parameters.items()
        if item.default is item.empty
        and item.kind not in (item.VAR_KEYWORD, item.VAR_POSITIONAL)
        and name not in kwargs
        and name not in positional[: len(args)]
    ]
    if missing:
        return TypeError(f"{title} needs {' and '.join(missing)}. {takes}")
    return error


# ---- names


class Named:
    """Base of clients: a misspelt attribute or method is answered with the nearest one."""

    if not TYPE_CHECKING:  # type checkers know what a client has

        def __getattr__(self, name: str) -> NoReturn:
            no_such_name(self, name)


def no_such_name(owner: object, name: str) -> NoReturn:
    """For ``__getattr__``: the name that was meant. Raises AttributeError."""
    kind = type(owner)
    if hasattr(kind, name):  # a property that failed: its own failure counts
        object.__getattribute__(owner, name)
    if name.startswith("_"):
        raise AttributeError(name)
    known = [item for item in dir(kind) if not item.startswith("_")]
    meant = did_you_mean(name, known)
    raise AttributeError(
        f"a {kind.__name__} has no {name!r}{meant or '; it has ' + ', '.join(known)}"
    )


# ---- values


def title_of(value: object) -> str:
    """What a value is, for people.

    >>> title_of("hello"), title_of([1]), title_of(None), title_of(2.5)
    ('text', 'a list', 'None', 'a float')
    """
    if value is None:
        return "None"
    if isinstance(value, str):
        return "text"
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeioAEIO' else 'a'} {name}"


def unlike(what: str, wanted: str, value: object, hint: str = "") -> TypeError:
    """The error for a value of another kind; a future is told apart by what to do with it."""
    words = f"{what} must be {wanted}, not {title_of(value)}"
    if hasattr(value, "result_async") and hasattr(value, "result"):
        words = f"{what} must be {wanted}, and this is still a future: wait for it with .result()"
        hint = "e.g. save_state(…).result().path" if "path" in what else hint
    elif isinstance(getattr(value, "path", None), str):
        hint = "its .path is what is wanted here"
    return TypeError(f"{words}; {hint}" if hint else words)


def check_text(what: str, value: object, hint: str = "") -> None:
    """Raise TypeError for what is no text."""
    if not isinstance(value, str):
        raise unlike(what, "text", value, hint)


def whole(what: str, value: Any, hint: str = "") -> int:
    """A whole number of any library's as an int; raises TypeError for what is none."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise unlike(what, "a whole number", value, hint)
    return int(value)


def number(what: str, value: Any) -> float:
    """A finite number of any library's as a float or int.

    Raises:
        TypeError: it is no number. ValueError: it is NaN or infinite, which JSON does not have.
    """
    if type(value) is int:
        return value
    if isinstance(value, str | bytes | bool) or not hasattr(value, "__float__"):
        raise unlike(what, "a number", value)
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{what} must be a finite number, not {found}")
    return found


def texts(what: str, values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Texts by name as a dict; raises TypeError for what JSON cannot hold."""
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise unlike(what, "texts by name", values, 'e.g. {"note": "first try"}')
    for name, value in values.items():
        if not isinstance(value, str | int | float | list | dict | None):
            raise TypeError(
                f"{what} must hold texts, and {name!r} is {title_of(value)}: "
                "str() makes a text of it"
            )
    return dict(values)
