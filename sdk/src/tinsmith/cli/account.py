"""``login``, ``logout``, ``whoami``, ``models``, ``usage``."""

from __future__ import annotations

import sys
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tinsmith import errors
from tinsmith._clients.rest import RestClient
from tinsmith._http.transport import RetryConfig
from tinsmith._settings import credentials, settings
from tinsmith._words.progress import size

if TYPE_CHECKING:
    from tinsmith.cli.command import Command
    from tinsmith.types.usage import BillingUsageEvent


def login(command: Command) -> None:
    """Ask for what was not given, the address first, try it, and store it."""
    given = command.arguments
    url = given.base_url or settings.from_environment("BASE_URL")
    given.base_url = _ask_address(command) if url is None else _checked(command, url)
    if given.api_key is None:
        given.api_key = _ask_key()
    if not given.api_key:
        raise ValueError("no API key was given; an administrator of the server makes them")
    about = command.rest.get_api_key().result()
    team = about.details.org_details.name
    credentials.store(given.base_url, given.api_key, name=about.name, team=team)
    command.out.done(
        {"base_url": given.base_url, "team": team, "name": about.name},
        f"Logged in to {given.base_url} as team {team}; the key is kept in {credentials.path()}",
    )


def _ask_address(command: Command) -> str:
    """On a terminal asked for until a server answers there; else the usual one."""
    usual = credentials.default_server() or settings.DEFAULT_BASE_URL
    if not sys.stdin.isatty():
        return _checked(command, settings.DEFAULT_BASE_URL)
    while True:
        try:
            return _checked(command, input(f"Server [{usual}]: ").strip() or usual)
        except errors.TinsmithError as error:
            print(f"tinsmith: {error}", file=sys.stderr)


def _checked(command: Command, url: str) -> str:
    """An address at which a server of ours answers, which it does without a key.

    Raises:
        ConfigurationError, APIConnectionError: it is no address, or nobody of ours answers.
    """
    url = settings.tidy(url)
    patience = RetryConfig(budget_s=command.arguments.retry_seconds)
    with RestClient(base_url=url, api_key="none", retry_config=patience) as rest:
        rest._ask("GET", "healthz", dict[str, Any]).result()
    return url


def _ask_key() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    import getpass

    return getpass.getpass("API key: ").strip()


def logout(command: Command) -> None:
    """Forget the key, and end it when that was asked for."""
    url = settings.tidy(
        command.arguments.base_url or credentials.default_server() or settings.DEFAULT_BASE_URL
    )
    if credentials.key_for(url) is None:
        raise ValueError(f"there is no key for {url} in {credentials.path()}")
    if command.arguments.revoke:
        command.arguments.base_url, command.arguments.api_key = url, credentials.key_for(url)
        command.rest.revoke_api_key().result()
    credentials.forget(url)
    command.out.done({"base_url": url, "revoked": command.arguments.revoke}, f"Forgot {url}")


def whoami(command: Command) -> None:
    """The key, its team, the server."""
    about = command.rest.get_api_key().result()
    try:
        me: Any = command.rest.whoami().result()
    except errors.NotFoundError:
        me = None  # a server that gives no tokens
    url = command.settings.base_url
    command.out.record(
        {
            "base_url": url,
            "key_id": about.key_id,
            "key_name": about.name,
            "team": about.details.org_details.name,
            "user_urn": me and me.user_urn,
            "org_urn": me and me.org_urn,
        },
        [
            ("Server", url),
            ("Team", about.details.org_details.name),
            ("Key", about.name or about.key_id),
            ("Identity", me and me.user_urn),
        ],
    )


def models(command: Command) -> None:
    """The base models whose name holds the filter."""
    wanted = (command.arguments.filter or "").lower()
    found = [
        model
        for model in command.rest.get_server_capabilities().result().supported_models
        if wanted in (model.model_name or "").lower()
    ]
    rows = [
        (model.model_name, model.max_context_length, model.trainable, model.sampleable)
        for model in found
    ]
    columns = ("MODEL", "CONTEXT", "TRAINABLE", "SAMPLEABLE")
    command.out.table(found, columns, rows, "no base model of that name is on offer")


def usage(command: Command) -> None:
    """Sums of the last days, and what is stored now."""
    end = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    end += timedelta(hours=1)
    start = end - timedelta(days=command.arguments.days)
    events = command.rest.get_billing_usage(start, end).result()
    stored = command.rest.get_current_checkpoint_storage_usage().result()
    if command.out.as_json:
        command.out.data({"usage": events, "storage": stored})
        return
    sums: dict[tuple[str, ...], list[tuple[float, float | None]]] = defaultdict(list)
    for event in events.data:
        amount, unit = _amount(event)
        names = (_title(event, command.arguments.by), event.event_info.type, unit)
        sums[names].append((amount, event.estimated_cost_usd))
    rows = [
        (*names[:2], f"{_figure(sum(amount for amount, _ in parts))} {names[2]}", _cost(parts))
        for names, parts in sorted(sums.items())
    ]
    by = command.arguments.by
    if by == "kind":
        rows = [row[1:] for row in rows]
    columns = ("WHAT", "AMOUNT", "COST (USD)")
    command.out.table(
        None, columns if by == "kind" else (by.upper(), *columns), rows, "nothing was used"
    )
    for item in stored.data:
        where = f" in project {item.project_id}" if item.project_id else ""
        print(f"stored now{where}: {item.checkpoint_count} checkpoints, {size(item.size_bytes)}")


def _cost(parts: list[tuple[float, float | None]]) -> str:
    """What the parts that have a price cost; ``-`` where none has."""
    known = [cost for _, cost in parts if cost is not None]
    return f"{sum(known):.4f}" if known else "-"


def _figure(amount: float) -> str:
    """A count in full; of what is no whole number three digits."""
    return f"{amount:,.0f}" if amount >= 100 or amount == int(amount) else f"{amount:.3g}"


def _amount(event: BillingUsageEvent) -> tuple[float, str]:
    info = event.event_info
    for name, unit in (
        ("token_count", "tokens"),
        ("count", "checkpoints"),
        ("gigabyte_hours", "GB·h"),
    ):
        if (amount := getattr(info, name, None)) is not None:
            return float(amount), unit
    return 0.0, ""


def _title(event: BillingUsageEvent, by: str) -> str:
    if by == "model":
        return event.base_model or "-"
    if by == "session":
        return event.session_id or "-"
    if by == "project":
        return event.project_id or "-"
    return f"{event.bucket_start.astimezone():%Y-%m-%d %H:%M}" if by == "hour" else ""
