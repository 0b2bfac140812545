"""The table of partners' endpoints."""

from dataclasses import dataclass

from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.inbox.webhooks")

GONE, UNREACHABLE = "gone", "unreachable"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A partner's endpoint; times in ms. `told`: up to where in the partner's stream; `disabled`: why, or None."""

    webhook_id: str
    partner: str
    url: str
    created: int
    told: int
    next_attempt: int
    failures: int
    failing_since: int | None
    disabled: str | None


def put(tx: Transaction, webhook_id: str, partner: str, url: str, at: int, told: int) -> None:
    """Add an endpoint, or begin anew with one of the same address."""
    values = {"webhook_id": webhook_id, "partner": partner, "url": url, "created": at, "told": told}
    tx.run(sql.put_webhook, values)


def of(tx: Transaction, partner: str) -> list[Webhook]:
    """A partner's endpoints, oldest first."""
    return [Webhook(*row) for row in tx.rows(sql.webhooks_of, {"partner": partner})]


def active(tx: Transaction) -> list[Webhook]:
    """Every endpoint that something is sent to."""
    return [Webhook(*row) for row in tx.rows(sql.active_webhooks)]


def remove(tx: Transaction, partner: str, webhook_id: str) -> bool:
    """Forget an endpoint; False if the partner has none such."""
    return tx.run(sql.remove_webhook, {"partner": partner, "webhook_id": webhook_id}) == 1


def told(tx: Transaction, hook: Webhook, upto: int, next_attempt: int) -> None:
    """The endpoint was told of everything up to there."""
    values = {"webhook_id": hook.webhook_id, "before": hook.told, "told": upto, "next_attempt": next_attempt}
    tx.run(sql.told_webhook, values)


def failed(tx: Transaction, hook: Webhook, at: int, next_attempt: int, disabled: str | None) -> None:
    """The endpoint was not told; `disabled` if it is not to be tried again."""
    values = {"webhook_id": hook.webhook_id, "before": hook.told, "at": at, "next_attempt": next_attempt}
    tx.run(sql.failed_webhook, values | {"disabled": disabled})
