"""Memory budgets: what a component may own at once, in bytes of capacity (BUDGET-001..BUDGET-014)."""

from __future__ import annotations

from typing import Final

from torvyn_ref.ids import HOST, Owner, show_owner
from torvyn_ref.resources.errors import ResourceError

DEFAULT_BUDGET_BYTES: Final = 64 * 1024 * 1024


class Account:
    """One component's use against its limit, both in bytes."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


class Budgets:
    """Accounts by owner. The host is never charged (BUDGET-007); an owner nobody registered has the default limit (BUDGET-009).

    Attributes:
        accounts: those that are open. The manager charges an account with room by itself, which spares a call for each buffer.
    """

    def __init__(self, default_limit: int = DEFAULT_BUDGET_BYTES) -> None:
        self.default_limit = default_limit
        self.accounts: dict[Owner, Account] = {}

    def register(self, owner: Owner, limit: int) -> None:
        """Set a component's limit in bytes; what it uses already stays charged (BUDGET-010)."""
        self.account(owner).limit = limit

    def account(self, owner: Owner) -> Account:
        """Return a component's account, opening it with the default limit if need be."""
        account = self.accounts.get(owner)
        if account is None:
            account = self.accounts[owner] = Account(self.default_limit)
        return account

    def charge(self, owner: Owner, amount: int) -> None:
        """Charge `amount` bytes, or refuse and change nothing; using exactly the limit is allowed (BUDGET-002, BUDGET-003).

        Raises:
            ResourceError: budget-exceeded, naming component, current use, request and limit.
        """
        if owner <= HOST:
            return
        known = self.accounts.get(owner)
        account = known or Account(self.default_limit)
        used = account.used + amount
        if used > account.limit:
            raise ResourceError(
                "budget-exceeded",
                f"{show_owner(owner)} uses {account.used} of {account.limit} bytes and asked for {amount} more",
                component=owner,
                current=account.used,
                requested=amount,
                budget=account.limit,
            )
        if known is None:  # only now: nobody is remembered for having been refused
            self.accounts[owner] = account
        account.used = used

    def credit(self, owner: Owner, amount: int) -> None:
        """Give back exactly what was charged (BUDGET-004)."""
        if owner > HOST:
            account = self.accounts[owner]
            assert amount <= account.used, "more credited than charged"
            account.used -= amount

    def unregister(self, owner: Owner) -> None:
        """Forget a component that is gone and owns nothing: a host that lives long does not accumulate accounts."""
        account = self.accounts.pop(owner, None)
        assert account is None or not account.used, "a component that owns buffers is not gone"

    def __len__(self) -> int:
        return len(self.accounts)

    def usage(self, owner: Owner) -> tuple[int, int]:
        """Return (used, limit) in bytes; for the host both are 0."""
        if owner <= HOST:
            return 0, 0
        account = self.accounts.get(owner)
        return (account.used, account.limit) if account else (0, self.default_limit)
