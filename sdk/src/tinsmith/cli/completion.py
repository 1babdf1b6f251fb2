"""Completion for bash, zsh and fish: small scripts that ask ``tinsmith _words``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tinsmith._version import __version__
from tinsmith.cli.parser import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinsmith.cli.command import Command

SCRIPTS = {
    "bash": """\
_tinsmith() {
    local IFS=$'\\n'
    COMPREPLY=($(tinsmith _words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    __ltrim_colon_completions "${COMP_WORDS[COMP_CWORD]}" 2>/dev/null
    return 0
}
complete -o default -F _tinsmith tinsmith
""",
    "zsh": """\
#compdef tinsmith
_tinsmith() {
    local -a found
    found=("${(@f)$(tinsmith _words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _tinsmith tinsmith
""",
    "fish": """\
function __tinsmith_words
    set -l given (commandline -opc)
    tinsmith _words -- $given[2..-1] (commandline -ct) 2>/dev/null
end
complete -c tinsmith -f -a '(__tinsmith_words)'
""",
}
WHERE = {
    "bash": 'eval "$(tinsmith completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(tinsmith completion zsh)"  # in ~/.zshrc, after compinit',
    "fish": "tinsmith completion fish > ~/.config/fish/completions/tinsmith.fish",
}


def script(command: Command) -> None:
    """Print a shell's script."""
    shell = command.arguments.shell
    text = f"# {WHERE[shell]}\n{SCRIPTS[shell]}"
    if shell == "zsh":  # its first line must be the #compdef
        text = SCRIPTS[shell].replace("\n", f"\n# {WHERE[shell]}\n", 1)
    command.out.done({"shell": shell, "script": text}, text.rstrip())


def candidates(given: Sequence[str]) -> list[str]:
    """What may stand where the last word of ``given`` is begun.

    >>> candidates(["checkpoints", "un"])
    ['unpublish']
    """
    *before, begun = given or [""]
    parser: argparse.ArgumentParser | None = build(__version__)
    expected: argparse.Action | None = None  # an option that waits for its value
    positions = 0
    for word in before:
        assert parser is not None
        if expected is not None:
            expected = None
        elif word.startswith("-"):
            action = parser._option_string_actions.get(word)
            expected = action if action is not None and action.nargs != 0 else None
        elif (inner := _subparsers(parser)) is not None:
            parser = inner.choices.get(word)
            if parser is None:
                return []
        else:
            positions += 1
    assert parser is not None
    return sorted(word for word in _possible(parser, expected, positions) if _fits(word, begun))


def _possible(
    parser: argparse.ArgumentParser, expected: argparse.Action | None, positions: int
) -> list[str]:
    if expected is not None:
        return [str(choice) for choice in expected.choices or ()]
    found = list(parser._option_string_actions)
    inner = _subparsers(parser)
    if inner is not None:
        found += list(inner.choices)
    else:
        plain = [action for action in parser._actions if not action.option_strings]
        if positions < len(plain):
            found += [str(choice) for choice in plain[positions].choices or ()]
    return found


def _fits(word: str, begun: str) -> bool:
    """Options are offered to those who have begun one."""
    return word.startswith(begun) and (begun.startswith("-") or not word.startswith("-"))


def _subparsers(
    parser: argparse.ArgumentParser,
) -> argparse._SubParsersAction[argparse.ArgumentParser] | None:
    return next(
        (item for item in parser._actions if isinstance(item, argparse._SubParsersAction)), None
    )
