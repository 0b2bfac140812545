"""People who want no invitations (Client-Server API v1.19, "Invite permission"): they get none, and are shown none."""

import msgspec

from paraph.server.http import MatrixError
from paraph.server.storage import Transaction, load_sql

CONFIGURED = "m.invite_permission_config"

sql = load_sql("paraph.server.messenger")


class _Configured(msgspec.Struct):
    default_action: str = ""


_configured = msgspec.json.Decoder(_Configured)


def blocks_invitations(tx: Transaction, user_id: str) -> bool:
    """Whether a person's account data says so; what has another form says nothing."""
    row = tx.row(sql.account_data, {"user_id": user_id, "room_id": "", "type": CONFIGURED})
    try:
        return row is not None and _configured.decode(row[0]).default_action == "block"
    except msgspec.ValidationError:
        return False


def check_invitable(tx: Transaction, user_id: str) -> None:
    """Raises M_INVITE_BLOCKED where a person wants no invitations."""
    if blocks_invitations(tx, user_id):
        raise MatrixError(403, "M_INVITE_BLOCKED", f"{user_id} takes no invitations")
